"""Files that are whole or not there, and folders that one run has to itself."""

"""What each command takes, in a module of its own that imports nothing heavy."""

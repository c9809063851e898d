"""Ways to train beside each other: tables, pictures and searches."""

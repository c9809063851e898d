"""What a card says: everything of this package that only a GPU can tell, measured row by row."""

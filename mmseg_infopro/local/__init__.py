"""The idea: a network cut into local modules, and the step that trains them."""

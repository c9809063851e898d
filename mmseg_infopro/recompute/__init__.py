"""What is computed a second time, in the backward pass, instead of being kept."""

"""Studies: many runs of one bed, what each left, and what may be claimed of them."""

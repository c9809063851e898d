"""Where to cut and what to recompute; the planners themselves know nothing of networks."""

"""Training on several devices: what is predicted, and what runs on this machine."""

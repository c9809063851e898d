"""Training on several devices, simulated: stage times, links and a schedule in, seconds out."""

"""Training: the state, the pure steps, and the loop that runs them."""

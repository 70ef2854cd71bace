"""Training a learned cost model for a target: random specs, their simulated costs, and a small Keras network."""

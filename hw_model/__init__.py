"""Hardware model of Edge-TPU-class accelerators: graphs, targets, cost. Standard library and NumPy only."""

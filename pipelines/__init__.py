"""Data, training, quantization, export, search and the command line, built on the model zoo."""

"""Keras model zoo of Edge-TPU-class networks."""

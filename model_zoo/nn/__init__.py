"""The Keras side: layers, the builder that makes them from a spec, the model class. Imports Keras."""

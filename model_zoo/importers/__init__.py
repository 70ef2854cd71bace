"""Reading weights that others published into the zoo's models."""

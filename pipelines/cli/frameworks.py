"""Imports the frameworks without their chatter, and says which package is missing when one is."""

import logging
import sys


def load_keras() -> None:
    """Imports Keras and its backend; TensorFlow prints warnings of its own loading that nobody can act on."""
    if "keras" in sys.modules:
        return
    from pipelines.export.quiet import quiet

    with quiet():
        import keras  # noqa: F401
    # Studies and evaluations build many models; TensorFlow warns of each as a mistake in a loop.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

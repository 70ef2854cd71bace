"""Imports the frameworks without their chatter, and says which package is missing when one is."""

import logging
import os
import sys

#: Read by TensorFlow when it is imported; what a user set stays.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "2", "ABSL_MIN_LOG_LEVEL": "2"}


def be_quiet() -> None:
    """Tells the frameworks, before they are imported, to speak of errors alone."""
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)


def load_keras() -> None:
    """Imports Keras and its backend; TensorFlow prints warnings of its own loading that nobody can act on."""
    if "keras" in sys.modules:
        return
    from pipelines.export.quiet import quiet

    be_quiet()
    with quiet():
        import keras  # noqa: F401
    # Studies and evaluations build many models; TensorFlow warns of each as a mistake in a loop.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

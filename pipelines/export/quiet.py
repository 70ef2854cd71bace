"""Keeps the chatter of native libraries off the terminal, and shows it after all when something fails."""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTY_LOGGERS = ("absl", "tensorflow")
_TAIL_CHARACTERS = 2_000


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows what is written to stdout and stderr, native code included.

    When the block raises, the end of what was swallowed is attached to the error as a note.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    levels = {name: logging.getLogger(name).level for name in _CHATTY_LOGGERS}
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        for name in _CHATTY_LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            sink.seek(0)
            if said := sink.read().decode(errors="replace").strip():
                error.add_note(said[-_TAIL_CHARACTERS:])
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)

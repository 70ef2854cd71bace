"""Asks a teacher once about inputs that come back in every epoch."""

from typing import Any

import numpy as np

from pipelines.data.batches import Batches
from pipelines.distill.teachers import Answers, Ask


def remember(ask: Ask, batches: Batches, *, progress: bool = False) -> Ask:
    """`ask` with its answers to all of `batches` kept; of anything else it is asked as before.

    Every input is asked in one fixed batch, so a run that is continued learns from the same numbers.
    """
    from tqdm import tqdm

    kept: dict[bytes, dict[str, Any]] = {}
    for index in tqdm(
        range(len(batches)),
        desc="teacher",
        delay=2,
        leave=False,
        disable=None if progress else True,
    ):
        inputs, _ = batches[index]
        answers = ask(inputs)
        for row, key in enumerate(_keys(inputs)):
            kept[key] = {name: values[row] for name, values in answers.items()}

    def recall(inputs: Any) -> Answers:
        found = [kept.get(key) for key in _keys(inputs)]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return ask(inputs)
        return {name: np.stack([each[name] for each in known]) for name in known[0]}

    return recall


def _keys(inputs: Any) -> list[bytes]:
    """What tells examples apart: all of their inputs."""
    named = inputs if isinstance(inputs, dict) else {"": inputs}
    parts = [np.ascontiguousarray(named[name]) for name in sorted(named)]
    return [b"".join(part[row].tobytes() for part in parts) for row in range(len(parts[0]))]

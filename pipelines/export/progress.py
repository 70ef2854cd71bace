"""One bar over the stages of an export, which keeps showing while native chatter is swallowed."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tqdm import tqdm

#: Called with a stage's name as it begins, and with the number of samples done since the last call.
Report = Callable[[str, int], None]

#: Length of a stage in calibration samples of a 224-pixel network; only the bar's estimate depends on it.
_STAGES = {"trace": 12, "convert": 20, "quantize": 8}


class Progress:
    """A `Report` that draws a bar on stderr when that is a terminal."""

    def __init__(self, samples: int, *, enabled: bool = True) -> None:
        # A descriptor of its own: the usual one is redirected while the converter runs.
        self._terminal = os.fdopen(os.dup(2), "w")
        self._bar = tqdm(
            total=samples + sum(_STAGES.values()),
            desc="export",
            file=self._terminal,
            disable=None if enabled else True,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            leave=False,
        )
        self._stage = ""

    def __call__(self, stage: str, done: int) -> None:
        if stage != self._stage:
            self._bar.update(_STAGES.get(self._stage, 0))
            self._bar.set_description_str(f"export: {stage}")
            self._stage = stage
        self._bar.update(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._terminal.close()

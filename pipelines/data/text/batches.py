"""Batches of texts: the inputs of a language network, and what it is to answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_zoo.text import QuestionPreprocessor, Window
from pipelines.data.batches import Batches
from pipelines.data.text.splits import MaskedSplit, QuestionSplit

Ints = npt.NDArray[np.int32]
Inputs = dict[str, Ints]

#: Stands for a word that no loss and no metric counts.
UNCOUNTED = -1


def question_inputs(preprocessor: QuestionPreprocessor, windows: Sequence[Window]) -> Inputs:
    """Windows by the names of a network's inputs, each (n, sequence_length)."""
    return {f"input_{name}": ids for name, ids in preprocessor.inputs(windows).items()}


class QuestionBatches(Batches):
    """Windows over contexts; targets are `start_logits` and `end_logits` (n,), positions of the answer's ends."""

    LASTING = True

    def __init__(
        self, split: QuestionSplit, *, preprocessing: QuestionPreprocessor, **settings: Any
    ) -> None:
        self.preprocessing = preprocessing
        self.windows = split.training_windows(preprocessing)
        super().__init__(self.windows, **settings)

    def examples(
        self, chosen: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Inputs, dict[str, Ints]]:
        windows = self.windows
        inputs = question_inputs(self.preprocessing, [windows.windows[row] for row in chosen])
        # In the order of the names, as the network's outputs are.
        return inputs, {"end_logits": windows.ends[chosen], "start_logits": windows.starts[chosen]}


class MaskedBatches(Batches):
    """Masked words; targets are word ids (n, predictions), `UNCOUNTED` where nothing is masked.

    With `next_sentence` a dict: `masked_lm`, and `next_sentence` (n,), 1 where the second part follows the first.
    """

    split: MaskedSplit

    def __init__(self, split: MaskedSplit, *, next_sentence: bool, **settings: Any) -> None:
        super().__init__(split, **settings)
        self.next_sentence = next_sentence

    def examples(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, Any]:
        # Evaluation sees the masks of one epoch, whichever it is called in.
        epoch = self.epoch if self.training else 0
        rows = self.split.examples.batch(self.split.chosen[chosen], epoch=epoch)
        inputs = {f"input_{name}": rows[name] for name in ("word_ids", "mask", "type_ids")}
        inputs["masked_lm_positions"] = rows["masked_positions"]
        words = np.where(rows["masked_weights"] > 0, rows["masked_ids"], UNCOUNTED)
        if not self.next_sentence:
            return inputs, words
        return inputs, {"masked_lm": words, "next_sentence": rows["next_sentence"]}

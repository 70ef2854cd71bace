"""Which layers an 8-bit file loses most in, and what keeping them in more bits brings and costs."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hw_model import estimate
from hw_model.files import write_bytes
from hw_model.targets import Target
from pipelines.data.dataset import Examples
from pipelines.export.convert import Converted, Sample
from pipelines.export.export import Prepared, evaluate_tflite
from pipelines.export.fidelity import EXACT_DB, decibel, feed, sqnr_by_tensor
from pipelines.export.precision import Policy, Precision, Rule, keeping
from pipelines.export.runner import Port, make_interpreter

#: Samples on which files are compared with the float file.
SAMPLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNoise:
    """What 8 bits do in a layer, in dB of signal to noise.

    `sqnr_db` is that of its worst output with all noise up to it, `lost_db` how far that lies below its worst input.
    `alone_db` is that of the model's outputs where this layer alone is rounded: what of its noise reaches them.
    """

    layer: str
    operators: int
    sqnr_db: float
    lost_db: float
    alone_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A file that keeps `kept` layers in more bits: what it answers, and what it costs on a target.

    `metric` is NaN where no images were given. `notes` say what the cost leaves out.
    """

    kept: int
    policy: Policy
    output_db: float
    metric: float
    latency_ms: float
    energy_mj: float
    host_operators: int
    size_bytes: int
    notes: tuple[str, ...]


class Inspector:
    """A float file and samples on which files of other precisions are compared with it."""

    def __init__(self, prepared: Prepared, samples: int = SAMPLES) -> None:
        self._rounding = rounding = prepared.rounding
        self._samples = prepared.samples[:samples]
        self._finish = prepared.finish
        self._operators: dict[str, list[int]] = {}
        for place, layers in enumerate(rounding.layers):
            if layers:
                # Of a convolution with norm and activation the convolution itself, which is named last.
                self._operators.setdefault(layers[-1], []).append(place)
        exact = make_interpreter(rounding.float32)
        self._wanted = [_answers(exact, sample) for sample in self._samples]

    @property
    def layers(self) -> tuple[str, ...]:
        """What can be kept, in the order of execution."""
        return tuple(self._operators)

    def output_db(self, content: bytes) -> float:
        """Signal to noise of a file's outputs, of several all together."""
        interpreter = make_interpreter(content)
        found = [_answers(interpreter, sample) for sample in self._samples]
        share = 0.0
        for wanted, got in zip(
            zip(*self._wanted, strict=True), zip(*found, strict=True), strict=True
        ):
            signal = sum(float(np.sum(each**2)) for each in wanted)
            noise = sum(float(np.sum((a - b) ** 2)) for a, b in zip(wanted, got, strict=True))
            share += noise / signal if signal else 0.0
        return decibel(1.0, share)

    def ranking(self, *, progress: bool = True) -> tuple[LayerNoise, ...]:
        """Every layer, the one whose noise does most to the outputs first.

        Each layer is rounded alone: what one loses in its own tensor says little of what of it reaches
        the end (`benchmarks/results/precision_ranking.json`).
        """
        content = self._rounding.apply(Policy(), name="network")
        levels = self._levels(content)
        found = []
        hidden = None if progress else True
        for layer, places in tqdm(
            self._operators.items(), desc="layers", disable=hidden, leave=False
        ):
            rule = Rule(layers=re.escape(layer), precision="int8")
            alone = self._rounding.apply(
                Policy(default="float32", rules=(rule,)), name=f"network with {layer} in 8 bits"
            )
            sqnr_db, lost_db = self._lost(places, levels)
            found.append(
                LayerNoise(
                    layer=layer,
                    operators=len(places),
                    sqnr_db=sqnr_db,
                    lost_db=lost_db,
                    alone_db=self.output_db(alone),
                )
            )
        return tuple(sorted(found, key=lambda noise: noise.alone_db))

    def _levels(self, content: bytes) -> dict[int, float]:
        """SQNR of every tensor of the int8 file, its inputs included."""
        converted = Converted(int8=content, float32=self._rounding.float32)
        measured = sqnr_by_tensor(converted, self._samples, lambda *_: None)
        file = self._rounding.file
        levels = {
            index: measured[op.outputs[0]].sqnr_db
            for op in file.operators
            if op.outputs[0] in measured
            for index in op.outputs  # parts of a split are as its first
        }
        ports = [Port(details) for details in make_interpreter(content).get_input_details()]
        for place, (index, port) in enumerate(zip(file.inputs, ports, strict=True)):
            signal = noise = 0.0
            for sample in self._samples:
                values = sample[place].astype(np.float64)
                signal += float(np.sum(values**2))
                noise += float(np.sum((values - port.real(port.store(values))) ** 2))
            levels[index] = decibel(signal, noise) if signal else EXACT_DB
        return levels

    def _lost(self, places: Sequence[int], levels: dict[int, float]) -> tuple[float, float]:
        """SQNR of the worst output of some operators, and the most that one of them loses."""
        operators = [self._rounding.file.operators[place] for place in places]
        found = [
            (
                levels.get(op.outputs[0], EXACT_DB),
                min((levels[i] for i in op.inputs if i in levels), default=EXACT_DB),
            )
            for op in operators
        ]
        worst = min(after for after, _ in found)
        return round(worst, 2), round(max(before - after for after, before in found), 2)

    def order(self, ranked: Sequence[LayerNoise]) -> tuple[str, ...]:
        """Layers in the order they are kept: each with what reads it.

        What a layer computes in more bits is of use where its readers take it in more bits.
        """
        layer_of = {place: layer for layer, places in self._operators.items() for place in places}
        readers: dict[int, list[str]] = {}
        for place, operator in enumerate(self._rounding.file.operators):
            for index in operator.inputs:
                if place in layer_of:
                    readers.setdefault(index, []).append(layer_of[place])
        kept: dict[str, None] = {}
        for noise in ranked:
            kept[noise.layer] = None
            for place in self._operators[noise.layer]:
                for index in self._rounding.file.operators[place].outputs:
                    kept |= dict.fromkeys(readers.get(index, ()))
        return tuple(kept)

    def steps(
        self,
        order: Sequence[str],
        precision: Precision,
        counts: Sequence[int],
        *,
        target: Target | str,
        folder: Path,
        split: Examples | None = None,
        preprocessing: Any = None,
        progress: bool = True,
    ) -> Iterator[Step]:
        """For each count a file in `folder` that keeps that many layers, the first of `order`, measured."""
        for kept in tqdm(counts, desc="files", disable=None if progress else True, leave=False):
            policy = keeping(order[:kept], precision)
            content = self._rounding.apply(policy, name=f"network with {kept} layers kept")
            path = folder / f"kept_{kept}.tflite"
            write_bytes(path, self._finish(content))
            cost = estimate(path, target=target)
            yield Step(
                kept=kept,
                policy=policy,
                output_db=self.output_db(content),
                metric=_metric(path, split, preprocessing),
                latency_ms=cost.latency_ms,
                energy_mj=cost.energy_mj,
                host_operators=sum(row.binding == "host" for row in cost.rows),
                size_bytes=len(content),
                notes=cost.warnings,
            )


def counts_up_to(limit: int) -> tuple[int, ...]:
    """How many layers are kept, one file for each: 0, and powers of two.

    >>> counts_up_to(10)
    (0, 1, 2, 4, 8)
    """
    return (0, *(1 << power for power in range(limit.bit_length())))


def chosen(steps: Sequence[Step], *, within: float) -> Step:
    """The file that keeps fewest layers of those whose metric lies `within` of the best; without one, by dB."""
    if all(math.isnan(step.metric) for step in steps):
        best = max(step.output_db for step in steps)
        return next(step for step in steps if step.output_db >= best - 1.0)
    best = max(step.metric for step in steps)
    return next(step for step in steps if step.metric >= best - within)


def _answers(interpreter: Any, sample: Sample) -> list[npt.NDArray[np.float64]]:
    feed(interpreter, sample)
    ports = [Port(details) for details in interpreter.get_output_details()]
    return [port.real(interpreter.get_tensor(port.index)).astype(np.float64) for port in ports]


def _metric(path: Path, split: Examples | None, preprocessing: Any) -> float:
    from pipelines.tasks import task_of

    if split is None:
        return math.nan
    metrics = evaluate_tflite(path, split, preprocessing, progress=False)
    return metrics[task_of(split).HEADLINE]

"""Trains the network of a learned cost model in Keras, and measures it on specs that it did not see.

Every row of the network scales what the counters say of one operation. The loss is the relative error of the
sums, for latency and for energy, and a share of the error of every row, since the simulator tells those too.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_model.calibrate.correlate import correlate
from hw_model.cost import evaluator_for
from hw_model.cost.features import FEATURES_VERSION, Inputs, Reader, sizes_of
from hw_model.cost.learned import predict
from hw_model.cost.learned_file import FACTOR_LIMIT, INPUT_LIMIT, About, CostModel, HeldOut, Seen
from hw_model.errors import UsageError
from hw_model.targets import Target
from pipelines.cost_model.samples import TEACHER, Plan, Sample, sample
from pipelines.cost_model.specs import HELD_OUT_SHARE, is_held_out

LEAST_SAMPLES = 64
UNITS = (64, 64)
BATCH = 16
#: Weight of the summed errors of rows beside the error of their sum.
ROW_SHARE = 0.25
#: Passes over the samples: fewer when there are many, so that a training takes minutes.
STEPS = 4000
LEARNING_RATE = 3e-3
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A sample as the network sees it; `y` is (rows, 2), microseconds and picojoules that the rows should sum to."""

    inputs: Inputs
    y: Floats
    #: What the simulator says, and what of it no row predicts: latency in us, active energy in pJ.
    totals: Floats
    constants: Floats


def example(reader: Reader, each: Sample) -> Example:
    """Pairs the rows of the features with those of the simulation."""
    inputs = reader.read(each.spec.graph())
    terms = inputs.terms
    moved_pj = terms.moved_bytes * reader.target.energy.input_bus_transfer_pj
    constants = np.array([terms.fixed_us, moved_pj])
    totals = each.rows.sum(axis=0) + np.array([each.fixed_us, 0.0])
    y = each.rows[[*inputs.rows, -1]]
    y[-1, 1] -= moved_pj
    return Example(inputs=inputs, y=y, totals=totals, constants=constants)


def predicted(model: CostModel, each: Example) -> Floats:
    """Latency in us and active energy in pJ."""
    costs = predict(model, each.inputs)
    sums: Floats = np.array([costs[:, :2].sum(), costs[:, 2].sum()]) + each.constants
    return sums


def agreement(model: CostModel, examples: Sequence[Example]) -> HeldOut:
    """How well a model agrees with the simulator."""
    said = np.array([predicted(model, each) for each in examples])
    true = np.array([each.totals for each in examples])
    latency, energy = (correlate(said[:, i].tolist(), true[:, i].tolist()) for i in (0, 1))
    return HeldOut(
        specs=len(examples),
        latency_mape=latency.mape,
        latency_spearman=latency.spearman,
        energy_mape=energy.mape,
        energy_spearman=energy.spearman,
    )


def train_cost_model(
    target: Target, *, samples: int, seed: int, folder: Path, workers: int = 1, steps: int = STEPS
) -> CostModel:
    """Samples, trains and measures; one seed gives one model on one machine.

    Raises:
        UsageError: too few samples, or a target that runs too few of them.
        EnvironmentFault: a worker process died, or `folder` cannot be written.
    """
    if samples < LEAST_SAMPLES:
        raise UsageError(f"--samples must be at least {LEAST_SAMPLES}. Received: {samples}")
    plan = Plan(target=target, seed=seed, count=samples, folder=folder)
    reader = Reader(target)
    seen: list[Example] = []
    held: list[Example] = []
    for each in sample(plan, workers=workers):
        (held if is_held_out(each.spec.spec_id) else seen).append(example(reader, each))
    if len(held) < 2:
        raise UsageError(
            f"--samples {samples} leaves {len(held)} of them to test with (about one in {HELD_OUT_SHARE}); "
            "take more"
        )
    mean, scale = _standard(seen)
    layers = _fit(seen, mean, scale, seed=seed, steps=steps, name=target.name)

    def model(held_out: HeldOut) -> CostModel:
        about = About(
            target_name=target.name,
            target_id=target.target_id,
            simulator_id=evaluator_for(target, TEACHER).evaluator_id,
            features_version=FEATURES_VERSION,
            samples=len(seen),
            seed=seed,
            held_out=held_out,
        )
        return CostModel(about=about, mean=mean, scale=scale, layers=layers, seen=seen_by(seen))

    unmeasured = HeldOut(
        specs=0, latency_mape=0, latency_spearman=0, energy_mape=0, energy_spearman=0
    )
    return model(agreement(model(unmeasured), held))


def seen_by(examples: Sequence[Example]) -> Seen:
    """Kinds and ranges of the operations of some samples: what is outside of them was not learned."""
    rows = [each.inputs for each in examples]
    kinds = {type(inputs.parts[row].kind).__name__ for inputs in rows for row in inputs.rows}
    low = np.min([sizes_of(inputs).min(axis=0) for inputs in rows], axis=0)
    high = np.max([sizes_of(inputs).max(axis=0) for inputs in rows], axis=0)
    # Rounded as far as no operation of the training is left outside by it.
    return Seen(
        kinds=tuple(sorted(kinds)),
        low=tuple(float(value) for value in np.floor(low * 1e4) / 1e4),
        high=tuple(float(value) for value in np.ceil(high * 1e4) / 1e4),
    )


def _standard(examples: Sequence[Example]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x = np.concatenate([each.inputs.x for each in examples])
    scale = x.std(axis=0)
    # A column that never varies says nothing: whatever another network has there is cut to the limit.
    scale[scale < 1e-6] = 1.0
    return x.mean(axis=0).astype(np.float32), scale.astype(np.float32)


def _batches(
    examples: Sequence[Example], mean: NDArray[np.float32], scale: NDArray[np.float32], seed: int
) -> Any:
    """Batches padded with rows of zeros, which cost nothing whatever their factors; another order each epoch."""
    import keras

    order = np.random.default_rng(seed)
    rows = [np.clip((each.inputs.x - mean) / scale, -INPUT_LIMIT, INPUT_LIMIT) for each in examples]
    # Everything as a share of the true total: the error of a sum then is the relative one.
    shares = [each.totals[[0, 0, 1]] for each in examples]

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.chosen = order.permutation(len(examples))

        def __len__(self) -> int:
            return -(-len(examples) // BATCH)

        def __getitem__(self, index: int) -> Any:
            chosen = self.chosen[index * BATCH : (index + 1) * BATCH]
            longest = max(len(rows[each]) for each in chosen)
            x = np.zeros((len(chosen), longest, mean.size), np.float32)
            base = np.zeros((len(chosen), longest, 3), np.float32)
            y = np.zeros((len(chosen), longest, 2), np.float32)
            for place, each in enumerate(chosen):
                count = len(rows[each])
                x[place, :count] = rows[each]
                base[place, :count] = examples[each].inputs.base / shares[each]
                y[place, :count] = examples[each].y / examples[each].totals
            return (x, base), y

        def on_epoch_end(self) -> None:
            self.chosen = order.permutation(len(examples))

    return Batches()


def _network(features: int) -> tuple[Any, list[Any]]:
    """The network over whole sequences, and its layers with weights."""
    import keras

    x, base = keras.Input((None, features)), keras.Input((None, 3))
    layers = [keras.layers.Dense(units, activation="relu") for units in UNITS]
    # At the start every factor is 1: training begins with what the counters say.
    layers.append(keras.layers.Dense(3, kernel_initializer="zeros"))
    h = x
    for layer in layers:
        h = layer(h)
    costs = base * keras.ops.exp(FACTOR_LIMIT * keras.ops.tanh(h / FACTOR_LIMIT))
    times = costs[:, :, 0:1] + costs[:, :, 1:2]
    out = keras.ops.concatenate([times, costs[:, :, 2:]], axis=-1)
    return keras.Model([x, base], out), layers


def _loss(y_true: Any, y_pred: Any) -> Any:
    from keras import ops

    error = y_pred - y_true
    return ops.mean(
        ops.abs(ops.sum(error, axis=1)) + ROW_SHARE * ops.sum(ops.abs(error), axis=1), axis=-1
    )


def _fit(
    examples: Sequence[Example], mean: NDArray[np.float32], scale: NDArray[np.float32], *,
    seed: int, steps: int, name: str,
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:  # fmt: skip
    """Weights and bias of each layer."""
    import keras
    from tqdm import tqdm

    keras.utils.set_random_seed(seed)
    batches = _batches(examples, mean, scale, seed)
    network, layers = _network(mean.size)
    epochs = max(1, round(steps / len(batches)))
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * len(batches))
    network.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss=_loss)
    with tqdm(
        total=epochs, desc=f"train {name}", unit="epoch", file=sys.stderr, disable=None, delay=1.0
    ) as bar:
        shown = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: bar.update())
        network.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[shown])
    return tuple(
        (np.array(weights, np.float32), np.array(bias, np.float32))
        for weights, bias in (layer.get_weights() for layer in layers)
    )

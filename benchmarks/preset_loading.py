"""What loading a preset costs beside plain keras.saving, in turn in one run. Writes results/preset_loading.json."""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from record import Column, save

from model_zoo import create_model, presets

COMMAND = "python benchmarks/preset_loading.py"


def processor_ms(load: Callable[[], Any]) -> float:
    """Processor time of one load, from a fresh state of Keras."""
    keras.utils.clear_session()
    start = time.process_time()
    load()
    return 1000 * (time.process_time() - start)


def row_of(name: str, runs: int, folder: Path) -> dict[str, Any]:
    """One preset: medians of interleaved loads, and the ratio to both ways of plain Keras."""
    model = create_model(name)
    own, plain = folder / "own.keras", folder / "plain.keras"
    model.save(own)
    keras.Model(model.inputs, model.outputs, name="plain").save(plain)
    ways: dict[str, Callable[[], Any]] = {
        "preset": lambda: create_model(name),
        "own": lambda: keras.saving.load_model(own),
        "plain": lambda: keras.saving.load_model(plain),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(runs + 1):
        for way, load in ways.items():
            taken = processor_ms(load)
            if turn:  # The first one warms up.
                times[way].append(taken)
    medians = {way: statistics.median(values) for way, values in times.items()}
    ratios = {
        way: statistics.median(a / b for a, b in zip(times["preset"], times[way], strict=True))
        for way in ("own", "plain")
    }
    return {
        "preset": name,
        "preset_ms": round(medians["preset"], 1),
        "own_ms": round(medians["own"], 1),
        "plain_ms": round(medians["plain"], 1),
        "ratio_own": round(ratios["own"], 3),
        "ratio_plain": round(ratios["plain"], 3),
    }


def main() -> None:
    """Loads every preset that ships `--runs` times each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="loads of each kind after one warm-up")
    args = parser.parse_args()
    rows = []
    for name in presets.names(fetched=False):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row_of(name, args.runs, Path(folder)))
        print(rows[-1], flush=True)
    save(
        "preset_loading",
        command=COMMAND,
        columns=[
            Column(key="preset", heading="Preset"),
            Column(key="preset_ms", heading="`create_model`, ms", format=".0f"),
            Column(key="own_ms", heading="`.keras` of the zoo's class, ms", format=".0f"),
            Column(key="plain_ms", heading="`.keras` of plain layers, ms", format=".0f"),
            Column(key="ratio_own", heading="Ratio to the zoo's class", format=".2f"),
            Column(key="ratio_plain", heading="Ratio to plain layers", format=".2f"),
        ],
        rows=rows,
        notes=[
            f"Medians of {args.runs} loads each in one process, the three in turn; a ratio is the median of the "
            "turns' ratios. `create_model` checks the SHA-256 of spec and weights as well.",
            "Processor time: other work may run on the machine's cores.",
        ],
    )


if __name__ == "__main__":
    main()

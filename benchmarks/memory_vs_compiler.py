"""Compares bytes on, into and out of the chip with what Coral's compiler wrote into public executables.

Writes results/memory_vs_compiler.json (agreement per quantity) and results/memory_vs_compiler_rows.json.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from record import Column, save

import hw_model.calibrate
from hw_model import load_target
from hw_model.calibrate.correlate import correlate
from hw_model.calibrate.net import Net
from hw_model.calibrate.reference_nets import mobilenet_v1, mobilenet_v2
from hw_model.cost.analytical import Analytical, calls
from hw_model.graph import Graph, ops
from hw_model.mapping.allocate import allocate
from model_zoo.registry import entries, spec_of

TABLE = Path(hw_model.calibrate.__file__).parent / "published" / "compiler_facts.csv"
TARGET = "coral_usb"
COMMAND = "python benchmarks/memory_vs_compiler.py"
FORMS = {
    "network": "networks",
    "chain": "chains of 7x7 convolutions",
    "layer": "single layers",
}
#: What the executable says -> the words for it.
QUANTITIES = {
    "parameter_bytes": "parameters",
    "cached_bytes": "parameters that stay on the chip",
    "streamed_bytes": "parameters sent at every inference",
    "narrow_bytes_per_tile": "activation memory of a tile",
    "instruction_bytes": "instructions",
    "input_bytes": "sent in",
    "output_bytes": "sent out",
}
COLUMNS = (
    Column(key="quantity", heading="Bytes"),
    Column(key="form", heading="Of"),
    Column(key="n", heading="Executables", format="d"),
    Column(key="spearman", heading="Spearman", format=".3f"),
    Column(key="mean_error_percent", heading="Mean error %", format=".1f"),
    Column(key="bias_percent", heading="Bias %", format="+.1f"),
    Column(key="max_error_percent", heading="Largest error %", format=".1f"),
    Column(key="exact", heading="Equal to the byte", format="d"),
    Column(key="equal_zero", heading="Both zero", format="d"),
)
ROW_COLUMNS = (
    Column(key="model", heading="Network or layer"),
    Column(key="quantity", heading="Bytes"),
    Column(key="compiler", heading="Compiler", format=",.0f"),
    Column(key="predicted", heading="Predicted", format=",.0f"),
    Column(key="error_percent", heading="Error %", format="+.1f"),
    Column(key="source", heading="Executable"),
)


def rebuilt(name: str) -> Graph:
    """The network or layer of a row of the table."""
    if name in entries():
        return spec_of(name).graph()
    for pattern, make in _FORMS.items():
        match = re.fullmatch(pattern, name)
        if match:
            return make(*match.groups())
    raise ValueError(name)


def features(graph: Graph) -> Graph:
    """A network without its pooling and classifier, or without the classifier alone."""
    last = graph.ops[-1]
    return Graph(graph.tensors[: last.outputs[0]], graph.ops[:-1], graph.inputs, last.inputs)


def convolutions(*sizes: str) -> Graph:
    """Equal SAME convolutions one after the other."""
    height, width, channels, kernel, filters, count = map(int, sizes)
    net = Net(height, width, channels)
    for _ in range(count):
        net.conv(filters, kernel)
    return net.finish("convolutions")


def depthwise(*sizes: str) -> Graph:
    """One depthwise convolution."""
    height, width, channels, kernel = map(int, sizes)
    net = Net(height, width, channels)
    net.depthwise(kernel)
    return net.finish("depthwise")


def dense(inputs: str, units: str) -> Graph:
    """One dense layer."""
    net = Net(1, 1, int(inputs))
    net.emit(ops.Reshape(shape=(1, int(inputs))))
    net.emit(ops.Dense(units=int(units)))
    return net.finish("dense")


_FORMS: dict[str, Callable[..., Graph]] = {
    r"mobilenet_v1_([\d.]+)_(\d+)": lambda width, size: mobilenet_v1(float(width), int(size)),
    r"mobilenet_v1_([\d.]+)_(\d+) features": lambda width, size: features(
        mobilenet_v1(float(width), int(size))
    ),
    r"mobilenet_v2_1.0_224": mobilenet_v2,
    r"mobilenet_v2_1.0_(\d+)x(\d+) features": lambda height, width: features(
        features(mobilenet_v2(int(height), int(width)))
    ),
    r"conv (\d+)x(\d+)x(\d+) k(\d+) f(\d+) x(\d+)": convolutions,
    r"depthwise (\d+)x(\d+)x(\d+) k(\d+)": depthwise,
    r"dense (\d+) to (\d+)": dense,
}


def predicted(graph: Graph) -> dict[str, float]:
    """The same quantities by this project's model."""
    target = load_target(TARGET)
    evaluator = Analytical(target)
    report = evaluator.report(graph)
    spent = evaluator.spent(calls(graph, target))
    memory = allocate(graph, target)
    # What does not fit passes through, and the memory is full.
    tiles_bytes = memory.capacity_bytes if memory.spilled else memory.peak_bytes
    streamed = sum(cost.parameter_bytes for cost, is_streamed in spent if is_streamed)
    return {
        "parameter_bytes": report.parameter_bytes,
        "cached_bytes": report.parameter_bytes - streamed,
        "streamed_bytes": streamed,
        "narrow_bytes_per_tile": tiles_bytes / target.array.cores,
        "instruction_bytes": report.model_terms.instruction_bytes,
        "input_bytes": report.model_terms.input_bytes,
        "output_bytes": report.model_terms.output_bytes,
    }


def compared() -> list[dict[str, Any]]:
    """One row for each executable and quantity; a quantity the executable does not tell is left out."""
    result = []
    with TABLE.open(encoding="utf-8", newline="") as file:
        for fields in csv.DictReader(file):
            recorded = {key: float(fields[key]) for key in QUANTITIES if fields.get(key)}
            recorded["parameter_bytes"] = recorded["cached_bytes"] + recorded["streamed_bytes"]
            ours = predicted(rebuilt(fields["model"]))
            for key, compiler in recorded.items():
                result.append(
                    {
                        "form": fields["form"],
                        "model": fields["model"],
                        "quantity": key,
                        "compiler": compiler,
                        "predicted": round(ours[key]),
                        "error_percent": round(100 * (ours[key] / compiler - 1), 2)
                        if compiler
                        else None,
                        "source": fields["source"],
                    }
                )
    return result


def agreement(rows: list[dict[str, Any]], key: str, form: str) -> dict[str, Any]:
    """How well one quantity agrees over the executables of one form; those without any of it are counted apart."""
    chosen = [row for row in rows if (row["quantity"], row["form"]) == (key, form)]
    some = [row for row in chosen if row["compiler"]]
    errors = [row["error_percent"] for row in some]
    ranked = len({row["compiler"] for row in some}) > 2
    found = (
        correlate([row["predicted"] for row in some], [row["compiler"] for row in some])
        if ranked
        else None
    )
    return {
        "quantity": QUANTITIES[key],
        "form": FORMS[form],
        "n": len(some),
        "spearman": round(found.spearman, 4) if found else None,
        "mean_error_percent": round(mean(map(abs, errors)), 2) if errors else None,
        "bias_percent": round(mean(errors), 2) if errors else None,
        "max_error_percent": round(max(map(abs, errors)), 2) if errors else None,
        "exact": sum(row["compiler"] == row["predicted"] for row in some),
        "equal_zero": sum(not (row["compiler"] or row["predicted"]) for row in chosen),
    }


def main() -> None:
    """Writes both tables."""
    rows = compared()
    summary = [agreement(rows, key, form) for form in FORMS for key in QUANTITIES]
    summary = [row for row in summary if row["n"] or row["equal_zero"]]
    for row in summary:
        print(row)
    notes = [
        "The same network compiled by several versions counts once for each; layers and chains are as the names of "
        "the files say. Halos and whole words in the tiles were read off this table; no number was fitted to it.",
        "By its parameters, the executable of MobileNet EdgeTPU 0.75 holds a larger network than the published one.",
    ]
    save("memory_vs_compiler", command=COMMAND, columns=COLUMNS, rows=summary, notes=notes)
    save("memory_vs_compiler_rows", command=COMMAND, columns=ROW_COLUMNS, rows=rows)


if __name__ == "__main__":
    main()

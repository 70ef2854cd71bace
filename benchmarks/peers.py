"""What other cost models say of the same networks, what they take for it, and whether they rank layers as ours do.

    python benchmarks/peers.py --work DIR

Each peer runs in a throw-away environment of its own: none is ever a dependency. The hardware differs, so no time
is set against another's: what compares is seconds, memory, what is reported, and the order of layers and networks.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from process import Ran, run
from record import Column, save
from tqdm import tqdm

NETWORKS = ("mobilenet_edgetpu_v2_tiny", "mobilenet_edgetpu_v2_s", "efficientnet_edgetpu_s")
TARGET = "coral_usb"
DRIVERS = Path(__file__).resolve().parent / "peer_drivers"
#: Of Arm's configurations the largest array.
VELA_CONFIG = "ethos-u85-2048"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool: what to install for it, and what it reports."""

    name: str
    packages: tuple[str, ...]
    reports: str
    driver: str | None = None


PEERS = (
    Peer(
        name="ethos-u-vela",
        packages=("ethos-u-vela==5.2.0",),
        reports="compiled file; cycles, memory use and traffic, by network and layer; no energy",
    ),
    Peer(
        name="zigzag-dse",
        # Its own list of requirements leaves six out.
        packages=("zigzag-dse==3.9.1", "six"),
        reports="cycles, energy, mapping and traffic by layer; layers alone, not the network",
        driver="zigzag_driver.py",
    ),
    Peer(
        name="scalesim",
        # Its code does not run on NumPy 2, nor its pandas on NumPy 1.
        packages=("scalesim==3.0.0", "numpy==1.26.4", "pandas<3"),
        reports="cycles, stalls, utilization and traffic by layer; no energy without further tools",
        driver="scalesim_driver.py",
    ),
)
OURS = "latency, energy with its components, traffic and streaming by layer, and why each takes what it takes"


def install(peer: Peer, work: Path, limit_s: float) -> tuple[Path | None, str]:
    """The interpreter of the peer's own environment; None and the reason where it cannot be had."""
    folder = work / "venv" / peer.name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists() and done.read_text() == " ".join(peer.packages):
        return python, ""
    folder.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "-q", *peer.packages],
    ):
        ran = run(command, limit_s, folder)
        if ran.code != 0:
            lines = [line for line in ran.output.splitlines() if "ERROR" in line]
            return None, f"could not be installed ({ran.ended}): {(lines or [''])[0][:200]}"
    done.write_text(" ".join(peer.packages))
    return python, ""


def export(network: str, work: Path) -> Path:
    """The int8 file of a network with random weights, groups as slices, as its target compiles them."""
    path = work / f"{network}.tflite"
    if path.exists():
        return path
    import numpy as np

    from model_zoo.create import create_model
    from pipelines.export import export_int8

    model = create_model(network)
    size = model.spec.input
    shape = (4, size.height, size.width, size.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    export_int8(model, images, path, group_form="split", allow_untrained=True, progress=False)
    return path


def layers_of(network: str) -> list[dict[str, Any]]:
    """The layers that multiply, as they are executed, groups native."""
    from hw_model.graph import ops, to_inference
    from model_zoo.registry import spec_of

    graph = to_inference(spec_of(network).graph(), group_form="native")
    found = []
    for op in graph.ops:
        kind, shape, out = op.type, graph.input_shapes(op)[0], graph.output_shapes(op)[0]
        if not isinstance(kind, ops.Conv2D | ops.DepthwiseConv2D | ops.GroupConv2D):
            continue
        depthwise = isinstance(kind, ops.DepthwiseConv2D)
        found.append(
            {
                "name": f"{network}/{op.name}",
                "macs": kind.macs((shape,)),
                "oy": out[1],
                "ox": out[2],
                "fy": kind.kernel[0],
                "fx": kind.kernel[1],
                "stride": kind.stride[0],
                "cin": shape[3],
                "cout": out[3],
                "groups": out[3] if depthwise else getattr(kind, "groups", 1),
            }
        )
    return found


Shape = tuple[int, ...]


def shape_of(layer: dict[str, Any]) -> Shape:
    """What makes two layers the same work."""
    return tuple(
        int(layer[key]) for key in ("oy", "ox", "fy", "fx", "stride", "cin", "cout", "groups")
    )


def ours_by_shape(networks: Sequence[str], evaluator: str) -> dict[Shape, float]:
    """Microseconds of each different layer on the target with native groups, parameters on the chip."""
    from hw_model.cost import evaluator_for
    from hw_model.targets import load_target
    from model_zoo.registry import spec_of

    target = load_target(TARGET)
    room = replace(target.memory, parameter_bytes=1 << 40)
    wide = evaluator_for(replace(target, group_form="native", memory=room), evaluator)
    found: dict[Shape, float] = {}
    for network in networks:
        times = {
            f"{network}/{row.name}": row.time_us for row in wide.rows(spec_of(network).graph())
        }
        for layer in layers_of(network):
            found.setdefault(shape_of(layer), times[layer["name"]])
    return found


def array_of_target() -> dict[str, int]:
    """What the peers are told of the target."""
    from hw_model.targets import load_target

    target = load_target(TARGET)
    return {
        "lanes": target.array.lanes_per_core,
        "width": target.array.macs_per_lane,
        "activation_bytes": target.memory.activation_bytes,
        "parameter_bytes": target.memory.parameter_bytes,
        "clock_hz": round(target.array.clock_mhz * 1e6),
    }


def measure_ours(evaluator: str, file: Path, work: Path, limit_s: float) -> dict[str, Any]:
    """This project on a file, as a process of its own like the others."""
    command = [sys.executable, "-m", "hw_model", file, "--target", TARGET]
    ran = run([*command, "--evaluator", evaluator, "--json"], limit_s, work)
    row = _row(f"edgezoo, {evaluator}", file.stem, ran, OURS)
    if ran.code == 0:
        report = json.loads(ran.output[ran.output.index("{") :])
        terms = report["model_terms"]
        moved = [terms[f"{what}_bytes"] for what in ("input", "output", "instruction")]
        row |= {
            "latency_ms": report["latency_ms"],
            "energy_mj": report["energy_mj"],
            "traffic_mb": (report["streamed_bytes"] + sum(moved)) / 1e6,
        }
    return row


def measure_vela(
    python: Path, peer: Peer, file: Path, work: Path, limit_s: float
) -> dict[str, Any]:
    """The Ethos-U compiler on the same file."""
    out = work / "vela" / file.stem
    out.mkdir(parents=True, exist_ok=True)
    vela = python.parent / "vela"
    options = ["--accelerator-config", VELA_CONFIG, "--verbose-performance", "--output-dir", out]
    ran = run([vela, *options, file], limit_s, out)
    row = _row(f"{peer.packages[0]}, {VELA_CONFIG}", file.stem, ran, peer.reports)
    summary = next(out.glob("*_summary_*.csv"), None)
    if ran.code == 0 and summary is not None:
        with summary.open(encoding="utf-8", newline="") as table:
            (cells,) = csv.DictReader(table)
        row |= {
            "latency_ms": float(cells["inference_time"]) * 1e3,
            "traffic_mb": float(cells["dram_total_bytes"]) / 1e6,
        }
    return row


def measure_driver(
    python: Path, peer: Peer, network: str, known: dict[Shape, Any], work: Path, limit_s: float
) -> dict[str, Any]:
    """A peer that takes layers one by one: the different ones, smallest first, none twice over all networks."""
    place = work / peer.name / network
    place.mkdir(parents=True, exist_ok=True)
    layers, array = layers_of(network), array_of_target()
    missing = {shape_of(layer): layer for layer in layers if shape_of(layer) not in known}
    todo = sorted(missing.values(), key=lambda layer: int(layer["macs"]))
    (place / "layers.json").write_text(json.dumps({"array": array, "layers": todo}))
    out = place / "out.json"
    out.unlink(missing_ok=True)
    assert peer.driver is not None
    ran = run([python, DRIVERS / peer.driver, "layers.json", "out.json"], limit_s, place)
    found = json.loads(out.read_text()) if out.exists() else {}
    known |= {shape: found[one["name"]] for shape, one in missing.items() if one["name"] in found}
    row = _row(peer.packages[0], network, ran, peer.reports)
    costs = [known.get(shape_of(layer), {}) for layer in layers]
    row["layers"] = f"{sum('cycles' in cost for cost in costs)} of {len(layers)}"
    row["layers_costed"] = sum(one["name"] in found for one in missing.values())
    if all("cycles" in cost for cost in costs):
        row["latency_ms"] = sum(cost["cycles"] for cost in costs) / array["clock_hz"] * 1e3
        if all("energy_pj" in cost for cost in costs):
            row["energy_mj"] = sum(cost["energy_pj"] for cost in costs) * 1e-9
    return row


def _row(tool: str, network: str, ran: Ran, reports: str) -> dict[str, Any]:
    return {
        "tool": tool.replace("==", " "),
        "network": network,
        "ended": ran.ended,
        "layers": None,
        "wall_s": round(ran.wall_s, 2),
        "cpu_s": round(ran.cpu_s, 2),
        "peak_mb": round(ran.peak_mb),
        "latency_ms": None,
        "energy_mj": None,
        "traffic_mb": None,
        "reports": reports,
    }


def agreement(
    networks: Sequence[str], peer: str, known: dict[Shape, Any], evaluators: Sequence[str]
) -> list[str]:
    """Rank correlation over the layers a peer costed, as sentences."""
    from hw_model.calibrate.correlate import correlate

    said = []
    for evaluator in evaluators:
        ours = ours_by_shape(networks, evaluator)
        shapes = [shape for shape, cost in known.items() if "cycles" in cost and shape in ours]
        for what, chosen in (
            ("layers", shapes),
            ("of them not depthwise or grouped", [s for s in shapes if s[-1] == 1]),
        ):
            if len(chosen) > 2:
                theirs = [float(known[shape]["cycles"]) for shape in chosen]
                rank = correlate([ours[shape] for shape in chosen], theirs).spearman
                said.append(
                    f"{peer} and {evaluator}: Spearman {rank:.2f} over {len(chosen)} {what}."
                )
    return said


def main() -> None:
    """Runs every peer on every network and records what it took and said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--peers", nargs="*", default=[peer.name for peer in PEERS])
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="processor time of a tool on a network"
    )
    parser.add_argument("--work", type=Path, help="folder to keep files and environments in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        _measure(args, work)


def _measure(args: argparse.Namespace, work: Path) -> None:
    from hw_model.cost import EVALUATORS

    evaluators = [name for name in ("analytical", "simulator") if name in EVALUATORS]
    peers = [peer for peer in PEERS if peer.name in args.peers]
    files = {name: export(name, work) for name in args.networks}
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    with tqdm(total=len(files) * (len(evaluators) + len(peers)), desc="peers", unit="run") as bar:
        for evaluator in evaluators:
            for file in files.values():
                bar.set_postfix_str(f"{evaluator} {file.stem}")
                rows.append(measure_ours(evaluator, file, work, args.seconds))
                bar.update()
        for peer in peers:
            python, problem = install(peer, work, args.seconds)
            if python is None:
                notes.append(f"{peer.packages[0]} {problem}.")
                bar.update(len(files))
                continue
            known: dict[Shape, Any] = {}
            for network, file in files.items():
                bar.set_postfix_str(f"{peer.name} {network}")
                if peer.driver is None:
                    rows.append(measure_vela(python, peer, file, work, args.seconds))
                else:
                    rows.append(measure_driver(python, peer, network, known, work, args.seconds))
                bar.update()
            if known:
                notes += agreement(args.networks, peer.name, known, evaluators)
    _save(args, rows, notes)


def _save(args: argparse.Namespace, rows: list[dict[str, Any]], notes: list[str]) -> None:
    save(
        "peers",
        command="python benchmarks/peers.py",
        columns=[
            Column(key="tool", heading="Tool"),
            Column(key="network", heading="Network"),
            Column(key="ended", heading="Ended"),
            Column(key="layers", heading="Layers"),
            Column(key="cpu_s", heading="CPU, s", format=",.1f"),
            Column(key="peak_mb", heading="Peak memory, MB", format=",d"),
            Column(key="latency_ms", heading="Latency it states, ms", format=",.2f"),
            Column(key="energy_mj", heading="Energy, mJ", format=",.2f"),
            Column(key="traffic_mb", heading="Off-chip traffic, MB", format=",.1f"),
            Column(key="reports", heading="It reports"),
        ],
        rows=rows,
        notes=[
            "Latencies are of different hardware and do not compare: Coral USB for edgezoo; a 2,048-MAC NPU at "
            "1 GHz with 384 KiB for Vela; the Coral array and memories, on chip, at 500 MHz for ZigZag and, as "
            "a 64 x 64 weight-stationary array, SCALE-Sim. What compares is cost and order. ZigZag "
            "with this mapping, and SCALE-Sim, run a depthwise layer a channel at a time, so those layers rank "
            "otherwise. ZigZag and SCALE-Sim "
            "get each different layer once, smallest first, and no softmax, pooling or sums; those seen in a row "
            f"above are not paid again. A tool has {args.seconds:.0f} s of processor time for a network.",
            *notes,
        ],
    )


if __name__ == "__main__":
    main()

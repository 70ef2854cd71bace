"""Measures int8 export of published networks at 224 px, each in a fresh process. Writes results/export_speed.json."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from record import Column, save

NETWORKS = ("mobilenet_edgetpu_v2_tiny", "mobilenet_edgetpu_v2_s", "mobilenet_edgetpu_v2_l")


def measure(name: str, form: str) -> dict[str, object]:
    """One export of a network with random weights; the clock starts when the model stands."""
    import time

    import numpy as np

    from model_zoo.create import create_model
    from pipelines.export import export_int8

    model = create_model(name)
    size = model.spec.input
    images = np.random.default_rng(0).integers(
        0, 256, (100, size.height, size.width, size.channels), np.uint8
    )
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        certificate = export_int8(
            model,
            images,
            Path(folder) / "net.tflite",
            group_form="native" if form == "native" else "split",
            allow_untrained=True,
            progress=False,
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "network": name,
        "form": form,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "samples": certificate.calibration.count,
        "size_mb": round(certificate.size_bytes / 1e6, 2),
        "equal": "yes" if certificate.predicted_equals_converted else "no",
    }


def main() -> None:
    """Exports every network `--runs` times and records the fastest run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="exports of each network")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="registered names")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FORM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    rows = []
    for name in options.networks:
        for form in ("split", "native"):
            runs = [_fresh(name, form) for _ in range(options.runs)]
            rows.append(min(runs, key=lambda row: row["wall_s"]))
            print("{network:28} {form:6} {wall_s:6.2f} s, {cpu_s:6.2f} s CPU".format(**rows[-1]))
    save(
        "export_speed",
        command="python benchmarks/export_speed.py",
        columns=[
            Column(key="network", heading="Network, 224 px"),
            Column(key="form", heading="Group convolutions"),
            Column(key="wall_s", heading="Export, s", format=".1f"),
            Column(key="cpu_s", heading="CPU, s", format=".1f"),
            Column(key="samples", heading="Calibration images", format="d"),
            Column(key="size_mb", heading="int8 file, MB", format=".1f"),
            Column(key="equal", heading="Predicted = converted"),
        ],
        rows=rows,
        notes=[
            "Fastest of several runs: trace, conversion, calibration, SQNR and comparison; not the build."
        ],
    )


def _fresh(name: str, form: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", name, form]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


if __name__ == "__main__":
    main()

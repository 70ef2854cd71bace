"""Measures what a user waits for before anything happens: imports, `--help`, `list`. Writes results/startup.json."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import Column, save

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import hw_model": ["-c", "import hw_model"],
    "import model_zoo": ["-c", "import model_zoo"],
    "import pipelines.cli": ["-c", "import pipelines.cli"],
    "edgezoo --help": ["-m", "pipelines.cli", "--help"],
    "edgezoo list": ["-m", "pipelines.cli", "list"],
    "python -m hw_model --help": ["-m", "hw_model", "--help"],
}


def wall_seconds(arguments: list[str], folder: Path) -> float:
    """Wall time of one fresh interpreter.

    Raises:
        CalledProcessError: the command failed, so its time means nothing.
    """
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Runs every command `--runs` times after one warm-up and records median and extremes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="times each command is run")
    runs = parser.parse_args().runs
    rows = []
    with tempfile.TemporaryDirectory() as empty:
        for name, arguments in COMMANDS.items():
            wall_seconds(arguments, Path(empty))
            times_ms = [1000 * wall_seconds(arguments, Path(empty)) for _ in range(runs)]
            rows.append(
                {
                    "command": f"`{name}`",
                    "median_ms": round(statistics.median(times_ms), 1),
                    "min_ms": round(min(times_ms), 1),
                    "max_ms": round(max(times_ms), 1),
                }
            )
            print("{command:32} {median_ms:8.1f} ms".format(**rows[-1]))
    save(
        "startup",
        command="python benchmarks/startup.py",
        columns=[
            Column(key="command", heading="Command"),
            Column(key="median_ms", heading="Median, ms", format=".0f"),
            Column(key="min_ms", heading="Min, ms", format=".0f"),
            Column(key="max_ms", heading="Max, ms", format=".0f"),
        ],
        rows=rows,
        notes=[f"Whole process, {runs} runs each after one warm-up, from an empty folder."],
    )


if __name__ == "__main__":
    main()

"""`edgezoo doctor`: what this machine has and lacks, with the remedy for each lack."""

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault
from pipelines.cli import machine
from pipelines.cli.answer import Answer
from pipelines.cli.options import add_json

LEAST_PYTHON = (3, 11)
#: A training run with checkpoints, logs and weights of a small network.
LEAST_FREE_BYTES = 1 << 30
Level = Literal["ok", "note", "lack"]
_SIGNS = {"ok": "✓", "note": "·", "lack": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; a `lack` is something a verb needs, with what to do."""

    level: Level
    topic: str
    text: str
    remedy: str = ""
    exit_code: int = EnvironmentFault.exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `doctor`."""
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Looks at everything; the exit code is 4 when something is lacking, 3 when only data is damaged."""
    findings = [*_python(), *_packages(), *_backends(), *_disk(), *_data_sets(), *_weights()]
    lacks = [finding for finding in findings if finding.level == "lack"]
    code = max((finding.exit_code for finding in lacks), default=0)
    return Answer(text=_text(findings, lacks), data=_data(findings, code), code=code)


def _data(findings: list[Finding], code: int) -> dict[str, object]:
    shown = [{k: v for k, v in asdict(f).items() if k != "exit_code"} for f in findings]
    return {"healthy": code == 0, "findings": shown}


def _text(findings: list[Finding], lacks: list[Finding]) -> str:
    lines: list[str] = []
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            lines += [""] * bool(lines) + [finding.topic]
            topic = finding.topic
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        lines.append(f"  {_SIGNS[finding.level]} {finding.text}{remedy}")
    verdict = f"{len(lacks)} thing{'s' * (len(lacks) > 1)} to mend." if lacks else "All is there."
    return "\n".join([*lines, "", verdict])


def _python() -> Iterator[Finding]:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < LEAST_PYTHON:
        wanted = ".".join(map(str, LEAST_PYTHON))
        yield Finding("lack", "machine", text, f"install Python {wanted} or newer")
    else:
        yield Finding("ok", "machine", text)
    yield Finding("ok", "machine", machine.hardware())


def _packages() -> Iterator[Finding]:
    for name, extra in machine.PACKAGES.items():
        version = machine.version(name)
        if version is not None:
            yield Finding("ok", "packages", f"{name} {version}")
        else:
            wanted = f"edgezoo[{extra}]" if extra else "edgezoo"
            yield Finding("lack", "packages", f"{name} is missing", f"pip install '{wanted}'")


def _backends() -> Iterator[Finding]:
    chosen = machine.keras_backend()
    for name in machine.BACKENDS:
        version = machine.version(name)
        use = " (in use)" if name == chosen else ""
        if version is not None:
            yield Finding("ok", "Keras backends", f"{name} {version}{use}")
        elif name == chosen and name != "tensorflow":
            yield Finding(
                "lack",
                "Keras backends",
                f"{name} is missing{use}",
                f"pip install 'edgezoo[{name}]'",
            )
        else:
            yield Finding("note", "Keras backends", f"{name}: not installed")
    if chosen not in machine.BACKENDS:
        known = ", ".join(machine.BACKENDS)
        yield Finding(
            "lack", "Keras backends", f"{chosen} is none", f"set KERAS_BACKEND to {known}"
        )


def _disk() -> Iterator[Finding]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    text = f"{free / 2**30:.1f} GiB free in {here}"
    if free < LEAST_FREE_BYTES:
        yield Finding("lack", "disk", text, "free at least 1 GiB for runs and weights")
    else:
        yield Finding("ok", "disk", text)
    if not os.access(here, os.W_OK):
        yield Finding("lack", "disk", f"{here} cannot be written", "work in another folder")


def _data_sets() -> Iterator[Finding]:
    from pipelines.data.embedded import NAMES, load_embedded
    from pipelines.data.scenes import catalogue
    from pipelines.data.sources import DEBIAN_FASHION_MNIST
    from pipelines.data.tfds_source import default_data_dir

    for name in NAMES:
        try:
            dataset = load_embedded(name)
        except EdgeZooError as error:
            yield Finding("lack", "data sets", str(error), "install again", error.exit_code)
        else:
            count = sum(len(split) for split in dataset.splits.values())
            yield Finding(
                "ok", "data sets", f"{name}: {count:,} images, embedded, {dataset.licence}"
            )
    if DEBIAN_FASHION_MNIST.is_dir():
        yield Finding("ok", "data sets", f"fashion_mnist: {DEBIAN_FASHION_MNIST}")
    folder = default_data_dir()
    prepared = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if prepared:
        yield Finding("ok", "data sets", f"tfds in {folder}: {', '.join(prepared)}")
    if not DEBIAN_FASHION_MNIST.is_dir() and "fashion_mnist" not in prepared:
        yield Finding(
            "note",
            "data sets",
            "fashion_mnist (the full set): not here",
            "--download, or apt install dataset-fashion-mnist",
        )
    if catalogue.is_present():
        yield Finding("ok", "data sets", f"composed_scenes: {catalogue.find_root() / 'usr/share'}")
    else:
        yield Finding(
            "note", "data sets", "composed_scenes: not here", "--download, or make assets"
        )


def _weights() -> Iterator[Finding]:
    from model_zoo import presets

    folder = presets.weights_dir()
    try:
        names = presets.names()
    except DataError as error:
        yield Finding("lack", "weights", str(error), "", error.exit_code)
        return
    if not names:
        remedy = (
            f"unset {presets.FOLDER_VARIABLE}"
            if os.environ.get(presets.FOLDER_VARIABLE)
            else "install again"
        )
        yield Finding("lack", "weights", f"no presets in {folder}", remedy, DataError.exit_code)
    for name in names:
        folder, preset = presets.find(name)
        try:
            files = [presets.checked_file(folder, file) for file in preset.files]
        except DataError as error:
            yield Finding("lack", "weights", f"{name}: {error}", "", error.exit_code)
        else:
            size = sum(path.stat().st_size for path in files)
            yield Finding(
                "ok", "weights", f"{name}: {len(files)} files, {size:,} bytes, SHA-256 verified"
            )

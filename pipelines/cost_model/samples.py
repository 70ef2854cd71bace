"""Simulated costs of random specs, kept in small files so that an interrupted sampling goes on where it stopped."""

import io
import multiprocessing
import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_model.cost import evaluator_for
from hw_model.errors import EnvironmentFault, SpecError, UsageError
from hw_model.files import atomic_path
from hw_model.graph import Graph
from hw_model.targets import Target
from model_zoo.spec import ModelSpec
from pipelines.cost_model.specs import random_spec

TEACHER = "simulator"
CHUNK = 32
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A spec and what its simulation says.

    `rows` is (operations + 1, 2): microseconds and picojoules of each operation, then of what belongs to none,
    the fixed cost of a call left out.
    """

    spec: ModelSpec
    rows: Floats
    fixed_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which samples: those of a seed, for a target."""

    target: Target
    seed: int
    count: int
    folder: Path

    @property
    def chunks(self) -> int:
        """In how many files they are kept."""
        return -(-self.count // CHUNK)

    def path(self, chunk: int) -> Path:
        """The file of one chunk; another simulator or target has other files."""
        teacher = evaluator_for(self.target, TEACHER).evaluator_id
        key = f"{self.target.target_id}-{teacher}-seed{self.seed}"
        return self.folder / key / f"{chunk:05d}.npz"


def simulated(target: Target, graph: Graph) -> tuple[Floats, float]:
    """`rows` and `fixed_us` of a sample; raises `SpecError` when the target cannot run the graph."""
    report = evaluator_for(target, TEACHER).report(graph)
    terms = report.model_terms
    rows = [(row.time_us, row.energy_pj) for row in report.rows]
    moved_pj = terms.moved_bytes * target.energy.input_bus_transfer_pj
    rows.append((terms.total_us - terms.fixed_us, moved_pj))
    return np.array(rows), terms.fixed_us


def sample(plan: Plan, *, workers: int = 1) -> list[Sample]:
    """Simulates what is not kept yet, and reads all; specs that the target cannot run are left out.

    Raises:
        UsageError: fewer than half of the specs run on the target.
        EnvironmentFault: a worker process died, or the folder cannot be written.
    """
    from tqdm import tqdm

    kept = {chunk: _load(plan, chunk) for chunk in range(plan.chunks)}
    missing = [chunk for chunk, found in kept.items() if found is None]
    with tqdm(
        total=plan.count, initial=(plan.chunks - len(missing)) * CHUNK, desc=f"simulate {plan.target.name}",
        unit="spec", file=sys.stderr, disable=None, delay=1.0,
    ) as bar:  # fmt: skip
        for chunk in _make(plan, missing, workers):
            kept[chunk] = _load(plan, chunk)
            bar.update(CHUNK)
    found = [each for chunk in kept.values() for each in chunk or ()][: plan.count]
    samples = [each for each in found if each is not None]
    if 2 * len(samples) < plan.count:
        raise UsageError(
            f"{plan.target.name} runs only {len(samples)} of {plan.count} random networks: "
            "memory.activation_bytes is too small to learn from them"
        )
    return samples


def _make(plan: Plan, missing: Sequence[int], workers: int) -> Iterator[int]:
    """Numbers of chunks as their files are written."""
    if workers == 1 or len(missing) < 2:
        for chunk in missing:
            yield _simulate_chunk(plan, chunk)
        return
    pool = ProcessPoolExecutor(
        workers,
        # A forked TensorFlow deadlocks; a spawned worker starts clean.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        pending: set[Future[int]] = {pool.submit(_simulate_chunk, plan, chunk) for chunk in missing}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise EnvironmentFault(
            "A worker process died (out of memory?); run the command again with --workers 1: it goes on "
            "where it stopped."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(driver_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    threading.Thread(target=_leave_with, args=(driver_pid,), daemon=True).start()


def _leave_with(driver_pid: int) -> None:
    """Ends this worker when its driver is gone: a killed driver cannot do so itself."""
    while os.getppid() == driver_pid:
        time.sleep(0.5)
    os._exit(1)


def _simulate_chunk(plan: Plan, chunk: int) -> int:
    """Simulates the specs of a chunk and writes its file; one that cannot run has no rows."""
    ids, rows, fixed = [], [], []
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        spec = random_spec(plan.seed, number)
        each, fixed_us = np.zeros((0, 2)), 0.0
        with suppress(SpecError):
            each, fixed_us = simulated(plan.target, spec.graph())
        ids.append(spec.spec_id)
        rows.append(each)
        fixed.append(fixed_us)
    with atomic_path(plan.path(chunk)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            spec_ids=np.array(ids),
            lengths=np.array([len(each) for each in rows]),
            rows=np.concatenate(rows),
            fixed_us=np.array(fixed),
        )
    return chunk


def _load(plan: Plan, chunk: int) -> list[Sample | None] | None:
    """The samples of a chunk in order; None when they must be made: not kept, damaged, or of other specs."""
    specs = [random_spec(plan.seed, chunk * CHUNK + number) for number in range(CHUNK)]
    try:
        content = io.BytesIO(plan.path(chunk).read_bytes())
        with np.load(content, allow_pickle=False) as file:
            data: dict[str, Any] = dict(file)
        if data["spec_ids"].tolist() != [spec.spec_id for spec in specs]:
            return None
        parts = np.split(data["rows"], np.cumsum(data["lengths"])[:-1])
        return [
            Sample(spec=spec, rows=rows, fixed_us=float(fixed_us)) if len(rows) else None
            for spec, rows, fixed_us in zip(specs, parts, data["fixed_us"], strict=True)
        ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

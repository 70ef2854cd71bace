"""Worker processes that compute costs: one that dies or hangs is replaced, and only what it died of goes unanswered."""

import contextlib
import itertools
import json
import logging
import multiprocessing
import queue
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from hw_model.errors import EnvironmentFault
from hw_model.service import cost_pb2 as pb
from hw_model.service.wire import LimitError, error_message
from hw_model.service.worker import (
    AT,
    COUNT,
    HEAD,
    IDLE,
    PART,
    READY,
    REFUSED,
    STOP,
    WorkerSettings,
    main,
    outcome_of,
)

LOG = logging.getLogger("edgezoo.service")
START_S = 60.0
#: Between two looks at whether a client is still there.
LOOK_S = 0.2
#: Workers one batch may lose without any of its requests being the cause.
MAX_LOSSES = 3
#: A worker that answers so fast is handed its next batch while it is at the last: the way there costs it no time.
PREFETCH_S = 0.05


class RefusedBatch(Exception):
    """Bytes that are no batch, or too large a one; the text says which."""


class CallOver(Exception):
    """The deadline passed, or the client left, before a worker was free."""


class WorkerLost(Exception):
    """A worker died or hung while it had a batch."""

    def __init__(self, answered: int, at: int, reason: str) -> None:
        """`answered` requests were; it was at request `at`."""
        super().__init__(reason)
        self.answered, self.at, self.reason = answered, at, reason


@dataclass(slots=True)
class Answered:
    """Messages that joined are the answer, and how their requests ended."""

    parts: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class _Job:
    """A batch on its way through a worker; `fault` says why it has not got through."""

    number: int
    batch: bytes
    due: float
    gone: Callable[[], bool]
    result: Answered
    answered: int = 0
    fault: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.gone() or bool(self.due and time.monotonic() >= self.due)

    def end(self, fault: Exception | None = None) -> None:
        """Wakes the call that waits for it."""
        self.fault = fault
        self.done.set()


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    cells: Any

    def end(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.join()
        with contextlib.suppress(OSError):
            self.pipe.close()


class WorkerPool:
    """Runs batches in processes, in the order they came; each process has a thread here that talks to it."""

    def __init__(self, settings: WorkerSettings, *, count: int, item_timeout_s: float) -> None:
        self._settings = settings
        self._item_timeout_s = item_timeout_s
        # A forked gRPC deadlocks; a spawned worker starts clean.
        self._context = multiprocessing.get_context("spawn")
        self._waiting: queue.Queue[_Job] = queue.Queue()
        self._numbers = itertools.count(1)
        self._lanes = [threading.Thread(target=self._lane, daemon=True) for _ in range(count)]
        self._started: queue.Queue[EnvironmentFault | None] = queue.Queue()
        self._lock = threading.Lock()
        self._closed = False
        #: Lanes with nothing to do, workers that run, and workers replaced so far.
        self._idle = self.alive = self.replaced = 0

    def start(self) -> None:
        """Starts all workers and waits until they can work.

        Raises:
            EnvironmentFault: one of them does not come up.
        """
        for lane in self._lanes:
            lane.start()
        for _ in self._lanes:
            fault = self._started.get()
            if fault is not None:
                raise fault

    def close(self) -> None:
        """Ends the workers; what they were computing is lost."""
        self._closed = True
        for lane in self._lanes:
            if lane.is_alive():
                lane.join()

    def run(self, batch: bytes, *, due: float, gone: Callable[[], bool]) -> Answered:
        """Answers a serialized `EstimateBatchRequest` in its order.

        It ends early once `due` (monotonic seconds, 0 for never) has passed or `gone` says so; a request its
        worker dies of is answered by an error, and the others by other workers.

        Raises:
            RefusedBatch: the bytes are no batch, or one of too many requests.
            CallOver: no worker became free in time.
            EnvironmentFault: worker after worker died without a request being the cause.
        """
        result = Answered()
        todo: deque[bytes | pb.EstimateResponse] = deque([batch])
        losses = 0
        while todo:
            piece = todo.popleft()
            if isinstance(piece, pb.EstimateResponse):
                result.counts[outcome_of(piece)] += 1
                result.parts.append(_joined([piece]))
                continue
            try:
                self._pass(_Job(next(self._numbers), piece, due, gone, result))
            except WorkerLost as lost:
                losses += lost.at == IDLE
                if losses > MAX_LOSSES:
                    raise EnvironmentFault("The workers of this cost server keep dying.") from lost
                todo.extendleft(reversed(_what_remains(piece, lost)))
        return result

    def _pass(self, job: _Job) -> None:
        """Waits until a worker has done a job, or until nobody waits for it."""
        self._waiting.put(job)
        while not job.done.wait(LOOK_S):
            if self._closed or job.over:
                raise CallOver
        if job.fault is not None:
            raise job.fault

    def _lane(self) -> None:
        """Keeps one worker busy, and replaces it when it ends."""
        first = True
        while not self._closed:
            try:
                worker = self._launch()
            except EnvironmentFault as fault:
                if first:
                    self._started.put(fault)
                    return
                LOG.warning("%s", fault)
                time.sleep(1.0)
                continue
            if first:
                self._started.put(None)
                first = False
            with self._lock:
                self.alive += 1
            flight: deque[_Job] = deque()
            reason = "died"
            try:
                self._converse(worker, flight)
            except TimeoutError:
                reason = "hung"
            except (EOFError, OSError):
                pass
            self._bury(worker, flight, reason)

    def _bury(self, worker: _Worker, flight: deque[_Job], reason: str) -> None:
        """Ends a worker, and tells the calls it was at: the first one by where it was, others as untouched."""
        worker.end()
        with self._lock:
            self.alive -= 1
            self.replaced += not self._closed
        for place, job in enumerate(flight):
            at = IDLE if place else worker.cells[AT]
            job.end(CallOver() if self._closed else WorkerLost(job.answered, at, reason))

    def _converse(self, worker: _Worker, flight: deque[_Job]) -> None:
        """Hands batches over and takes answers until the pool closes; raises when the worker ends or hangs."""
        ears = select.poll()
        ears.register(worker.pipe.fileno(), select.POLLIN)
        heard_at = time.monotonic()
        quick = False
        while not self._closed:
            if len(flight) < 2 and (not flight or quick):
                job = self._next(wait=not flight)
                if job is not None:
                    if not flight:
                        heard_at = time.monotonic()
                    flight.append(job)
                    worker.pipe.send_bytes(HEAD.pack(job.number, job.due) + job.batch)
                    continue
            if not flight:
                if ears.poll(0):
                    worker.pipe.recv_bytes()  # nothing but its end can come
                continue
            if ears.poll(1e3 * LOOK_S):
                took_s = time.monotonic() - heard_at
                heard_at += took_s
                if _hear(worker.pipe.recv_bytes(), flight[0]):
                    flight.popleft().done.set()
                    quick = took_s < PREFETCH_S
            elif time.monotonic() - heard_at > self._item_timeout_s:
                raise TimeoutError
            elif flight[0].over:
                worker.cells[STOP] = flight[0].number

    def _next(self, *, wait: bool) -> _Job | None:
        """A job somebody waits for. One is taken early only when no other worker could begin it now."""
        if not wait and self._idle:
            return None
        try:
            if not wait:
                job = self._waiting.get_nowait()
            else:
                with self._lock:
                    self._idle += 1
                try:
                    job = self._waiting.get(timeout=LOOK_S)
                finally:
                    with self._lock:
                        self._idle -= 1
        except queue.Empty:
            return None
        if job.over:
            job.end(CallOver())
            return None
        return job

    def _launch(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        cells = self._context.RawArray("q", [IDLE, 0])
        process = self._context.Process(
            target=main, args=(theirs, cells, self._settings), name="edgezoo-worker", daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours, cells)
        due = time.monotonic() + START_S
        with contextlib.suppress(EOFError, OSError):
            while not self._closed and time.monotonic() < due:
                if ours.poll(LOOK_S) and ours.recv_bytes() == READY:
                    return worker
        worker.end()
        raise EnvironmentFault(
            "A worker process of the cost server does not start; its output says why."
        )


def _hear(message: bytes, job: _Job) -> bool:
    """Adds what a worker says to the result of a job; whether the job is done."""
    tag, body = message[:1], message[1:]
    if tag == REFUSED:
        job.fault = RefusedBatch(body.decode())
        return True
    (count,) = COUNT.unpack_from(body)
    if tag == PART:
        job.answered += count
        job.result.parts.append(body[COUNT.size :])
        return False
    rest = COUNT.size + count
    job.result.counts.update(json.loads(body[COUNT.size : rest]))
    job.result.parts.append(body[rest:])
    return True


def _what_remains(batch: bytes, lost: WorkerLost) -> "list[bytes | pb.EstimateResponse]":
    """The rest of a batch: what went well but was not handed on, an answer for the cause, what comes after it."""
    message = pb.EstimateBatchRequest.FromString(batch)
    requests = list(message.requests)
    if lost.at == IDLE:
        return [_with(message, requests[lost.answered :])]
    LOG.warning("a worker %s while it costed a model, and is replaced", lost.reason)
    error = LimitError(
        f"The worker process {lost.reason} while it costed this model, which needs more memory or time than "
        "this server gives."
    )
    cause = pb.EstimateResponse(id=requests[lost.at].id, error=error_message(error))
    before, after = requests[lost.answered : lost.at], requests[lost.at + 1 :]
    rest: list[bytes | pb.EstimateResponse] = [cause]
    if before:
        rest.insert(0, _with(message, before))
    if after:
        rest.append(_with(message, after))
    return rest


def _with(batch: "pb.EstimateBatchRequest", requests: "list[pb.EstimateRequest]") -> bytes:
    other = pb.EstimateBatchRequest(requests=requests, evaluator=batch.evaluator)
    if batch.HasField("target"):
        other.target.CopyFrom(batch.target)
    return bytes(other.SerializeToString())


def _joined(responses: "list[pb.EstimateResponse]") -> bytes:
    return bytes(pb.EstimateBatchResponse(responses=responses).SerializeToString())

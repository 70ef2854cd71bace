"""Worker processes that compute costs: one that dies or hangs is replaced, and only what it died of goes unanswered."""

import contextlib
import json
import logging
import multiprocessing
import queue
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from hw_model.errors import EnvironmentFault
from hw_model.service import cost_pb2 as pb
from hw_model.service.wire import LimitError, error_message
from hw_model.service.worker import (
    BATCH,
    COUNT,
    DUE,
    END,
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
#: Between two looks at whether the client is still there.
LOOK_S = 0.2
#: Workers one batch may lose without any of its requests being the cause.
MAX_LOSSES = 3


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


@dataclass(slots=True, eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    #: Shared with the process: the index of the request it is at.
    at: Any


@dataclass(slots=True)
class Answered:
    """Messages that joined are the answer, and how their requests ended."""

    parts: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class WorkerPool:
    """Runs batches in processes, one batch in a process at a time; callers wait for a free one."""

    def __init__(self, settings: WorkerSettings, *, count: int, item_timeout_s: float) -> None:
        self._settings = settings
        self._count = count
        self._item_timeout_s = item_timeout_s
        # A forked gRPC deadlocks; a spawned worker starts clean.
        self._context = multiprocessing.get_context("spawn")
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        #: Workers replaced so far.
        self.replaced = 0

    @property
    def alive(self) -> int:
        """Workers that run now."""
        return len(self._all)

    def start(self) -> None:
        """Starts all workers and waits until they can work.

        Raises:
            EnvironmentFault: one of them does not come up.
        """
        started = [self._launch() for _ in range(self._count)]
        for worker in started:
            self._await_ready(worker)
            self._idle.put(worker)

    def close(self) -> None:
        """Ends the workers at once; what they were computing is lost."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            self._end(worker)

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
                self._attempt(piece, due, gone, result)
            except WorkerLost as lost:
                losses += lost.at == IDLE
                if losses > MAX_LOSSES:
                    raise EnvironmentFault("The workers of this cost server keep dying.") from lost
                todo.extendleft(reversed(_what_remains(piece, lost)))
        return result

    def _attempt(
        self, batch: bytes, due: float, gone: Callable[[], bool], result: Answered
    ) -> None:
        worker = self._take(due, gone)
        healthy = False
        answered = 0
        try:
            worker.pipe.send_bytes(BATCH + DUE.pack(due) + batch)
            for message in self._messages(worker, gone):
                tag, body = message[:1], message[1:]
                if tag == PART:
                    answered += COUNT.unpack_from(body)[0]
                    result.parts.append(body[COUNT.size :])
                    continue
                healthy = True
                if tag == REFUSED:
                    raise RefusedBatch(body.decode())
                rest = COUNT.size + COUNT.unpack_from(body)[0]
                result.counts.update(json.loads(body[COUNT.size : rest]))
                result.parts.append(body[rest:])
                return
        except (EOFError, OSError) as error:
            at = worker.at.value
            reason = "hung" if isinstance(error, TimeoutError) else "died"
            raise WorkerLost(answered, at, reason) from error
        finally:
            if healthy:
                self._idle.put(worker)
            else:
                self._replace(worker)

    def _messages(self, worker: _Worker, gone: Callable[[], bool]) -> Iterator[bytes]:
        """What a worker says until it has said all; it is asked to leave the rest when nobody waits for it."""
        heard_at = time.monotonic()
        told = False
        # `Connection.poll` makes a selector at every call.
        waiting = select.poll()
        waiting.register(worker.pipe.fileno(), select.POLLIN)
        while True:
            if waiting.poll(1e3 * LOOK_S):
                message = worker.pipe.recv_bytes()
                heard_at = time.monotonic()
                yield message
                if message[:1] in (END, REFUSED):
                    return
            elif time.monotonic() - heard_at > self._item_timeout_s:
                raise TimeoutError
            elif not told and gone():
                worker.pipe.send_bytes(STOP)
                told = True

    def _take(self, due: float, gone: Callable[[], bool]) -> _Worker:
        """A free worker."""
        while True:
            if self._closed or gone() or (due and time.monotonic() >= due):
                raise CallOver
            with contextlib.suppress(queue.Empty):
                worker = self._idle.get(timeout=LOOK_S)
                if worker.process.is_alive():
                    return worker
                self._replace(worker)

    def _launch(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        at = self._context.RawValue("q", IDLE)
        process = self._context.Process(
            target=main, args=(theirs, at, self._settings), name="edgezoo-worker", daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours, at)
        with self._lock:
            self._all.add(worker)
            closed = self._closed
        if closed:
            self._end(worker)
        return worker

    def _await_ready(self, worker: _Worker) -> None:
        try:
            if worker.pipe.poll(START_S) and worker.pipe.recv_bytes() == READY:
                return
        except (EOFError, OSError):
            pass
        self._end(worker)
        raise EnvironmentFault(
            "A worker process of the cost server does not start; its output says why."
        )

    def _replace(self, worker: _Worker) -> None:
        """Ends a worker and starts another beside the calls that go on."""
        self._end(worker)
        if self._closed:
            return
        self.replaced += 1
        threading.Thread(target=self._start_another, daemon=True).start()

    def _start_another(self) -> None:
        while not self._closed:
            try:
                worker = self._launch()
                self._await_ready(worker)
            except (EnvironmentFault, OSError) as error:
                if not self._closed:
                    LOG.warning("a worker process could not be started: %s", error)
                    time.sleep(1.0)
                continue
            self._idle.put(worker)
            return

    def _end(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        with contextlib.suppress(OSError):
            worker.pipe.close()
        with self._lock:
            self._all.discard(worker)


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

"""Worker processes that compute costs: one that dies or hangs is replaced, and only what it died of goes unanswered."""

import asyncio
import itertools
import json
import logging
import math
import multiprocessing
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
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
    PART_S,
    READY,
    REFUSED,
    SIZE,
    STOP,
    TOOK,
    WorkerSettings,
    main,
    outcome_of,
)

LOG = logging.getLogger("edgezoo.service")
START_S = 60.0
#: Between two looks at whether a worker hangs.
LOOK_S = 0.2
#: Before a worker that did not start is tried again.
AGAIN_S = 1.0
#: Workers one batch may lose without any of its requests being the cause.
MAX_LOSSES = 3
#: A worker is handed as many batches as it is likely to answer in this time: the way there costs it none.
AHEAD_S = 0.01
MOST_AHEAD = 16
#: Answers of a busy worker are looked at so often and not one by one: waking up takes longer than passing one on.
GATHER_S = 0.003


class RefusedBatch(Exception):
    """Bytes that are no batch, or too large a one; the text says which."""


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
    """A batch on its way through a worker; `done` is cancelled once nobody waits for it."""

    number: int
    batch: bytes
    due: float
    result: Answered
    done: asyncio.Future[None]
    answered: int = 0

    def end(self, fault: Exception | None = None) -> None:
        """Wakes the call that waits for it, if one does."""
        if self.done.done():
            return
        if fault is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(fault)


class WorkerPool:
    """Runs batches in processes, in the order they came; everything here happens on one event loop."""

    def __init__(self, settings: WorkerSettings, *, count: int, item_timeout_s: float) -> None:
        self._settings = settings
        self._count = count
        self._silence_s = item_timeout_s + PART_S
        # A forked gRPC deadlocks; a spawned worker starts clean.
        self._context = multiprocessing.get_context("spawn")
        self._waiting: deque[_Job] = deque()
        self._numbers = itertools.count(1)
        self._launched: set[_Worker] = set()
        self._ready: list[_Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        #: Workers replaced so far.
        self.replaced = 0

    @property
    def alive(self) -> int:
        """Workers that can work."""
        return len(self._ready)

    async def start(self) -> None:
        """Starts all workers and waits until they can work.

        Raises:
            EnvironmentFault: one of them does not come up.
        """
        self._keep(self._watch())
        await asyncio.gather(*(self._launch() for _ in range(self._count)))

    async def close(self) -> None:
        """Ends the workers; what they were computing is lost."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for worker in self._launched:
            worker.process.kill()
        for worker in tuple(self._launched):
            await self._bury(worker)

    async def run(self, batch: bytes, *, due: float) -> Answered:
        """Answers a serialized `EstimateBatchRequest` in its order; cancelling it lets the worker stop.

        It ends early once `due` (monotonic seconds, 0 for never) has passed; a request its worker dies of is
        answered by an error, and the others by other workers.

        Raises:
            RefusedBatch: the bytes are no batch, or one of too many requests.
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
            done = asyncio.get_running_loop().create_future()
            job = _Job(next(self._numbers), piece, due, result, done)
            self._waiting.append(job)
            self._hand_out()
            try:
                await done
            except WorkerLost as lost:
                losses += lost.at == IDLE
                if losses > MAX_LOSSES:
                    raise EnvironmentFault("The workers of this cost server keep dying.") from lost
                todo.extendleft(reversed(_what_remains(piece, lost)))
            except asyncio.CancelledError:
                for worker in self._ready:
                    worker.stop_if_unwanted()
                raise
        return result

    def _hand_out(self) -> None:
        """Gives batches to workers that are free, or soon will be; one that nobody waits for is dropped."""
        while self._waiting and self._ready:
            worker = min(self._ready, key=_Worker.work_s)
            if worker.work_s() > AHEAD_S or len(worker.flight) >= MOST_AHEAD:
                return
            job = self._waiting.popleft()
            if not job.done.done():
                worker.hand(job)

    async def _watch(self) -> None:
        """Ends workers that say nothing for too long."""
        while True:
            await asyncio.sleep(LOOK_S)
            late = time.monotonic() - self._silence_s
            for worker in self._ready:
                if worker.flight and worker.heard_at < late:
                    worker.reason = "hung"
                    worker.process.kill()

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        cells = self._context.RawArray("q", [IDLE, 0])
        process = self._context.Process(
            target=main, args=(theirs, cells, self._settings), name="edgezoo-worker", daemon=True
        )
        with theirs:
            process.start()
        worker = _Worker(process, cells, self._hand_out)
        self._launched.add(worker)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: worker, sock=ours)
        await asyncio.wait(
            (worker.ready, worker.gone), timeout=START_S, return_when="FIRST_COMPLETED"
        )
        if not worker.ready.done():
            await self._bury(worker)
            raise EnvironmentFault(
                "A worker process of the cost server does not start; its output says why."
            )
        self._ready.append(worker)
        self._keep(self._outlive(worker))
        self._hand_out()

    async def _outlive(self, worker: "_Worker") -> None:
        """Waits for the end of a worker, tells the calls it was at, and starts another one."""
        await worker.gone
        self._ready.remove(worker)
        self.replaced += 1
        self._waiting.extendleft(reversed(worker.end()))
        self._hand_out()
        await self._bury(worker)
        while True:
            try:
                return await self._launch()
            except EnvironmentFault as fault:
                LOG.warning("%s", fault)
                await asyncio.sleep(AGAIN_S)

    async def _bury(self, worker: "_Worker") -> None:
        worker.process.kill()
        await asyncio.to_thread(worker.process.join)
        self._launched.discard(worker)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the calls until it ends or the pool closes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Worker(asyncio.Protocol):
    """A worker process and the batches it was handed; the first one is what it is at."""

    def __init__(self, process: BaseProcess, cells: Any, freed: Callable[[], None]) -> None:
        """`freed` is called when it could take another batch."""
        loop = asyncio.get_running_loop()
        self.process = process
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.flight: deque[_Job] = deque()
        #: How long the last batch took.
        self._batch_s = math.inf
        self.heard_at = 0.0
        self.reason = "died"
        self._cells = cells
        self._freed = freed
        self._heard = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        before, start = len(self.flight), 0
        while len(self._heard) - start >= SIZE.size:
            body = start + SIZE.size
            end = body + SIZE.unpack_from(self._heard, start)[0]
            if len(self._heard) < end:
                break
            self._hear(bytes(self._heard[body:end]))
            start = end
        del self._heard[:start]
        self.heard_at = time.monotonic()
        if len(self.flight) < before:
            self.stop_if_unwanted()
            self._freed()
            if self.flight:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(GATHER_S, self._transport.resume_reading)

    def work_s(self) -> float:
        """How long it is likely to take for what it has."""
        return len(self.flight) * self._batch_s if self.flight else 0.0

    def hand(self, job: _Job) -> None:
        """Gives it a batch."""
        if not self.flight:
            self.heard_at = time.monotonic()
        self.flight.append(job)
        size = SIZE.pack(HEAD.size + len(job.batch))
        self._transport.write(size + HEAD.pack(job.number, job.due) + job.batch)

    def stop_if_unwanted(self) -> None:
        """Lets it leave the rest of a batch that nobody waits for."""
        if self.flight and self.flight[0].done.done():
            self._cells[STOP] = self.flight[0].number

    def end(self) -> list[_Job]:
        """Tells the call it was at that it is gone; returns what it has not touched."""
        self._transport.close()
        if self.flight:
            job = self.flight.popleft()
            job.end(WorkerLost(job.answered, self._cells[AT], self.reason))
        return list(self.flight)

    def _hear(self, message: bytes) -> None:
        if message == READY:
            self.ready.set_result(None)
            return
        job = self.flight[0]
        tag, body = message[:1], message[1:]
        if tag == REFUSED:
            fault: Exception | None = RefusedBatch(body.decode())
        else:
            if tag == PART:
                job.answered += COUNT.unpack_from(body)[0]
                job.result.parts.append(body[COUNT.size :])
                return
            count, self._batch_s = TOOK.unpack_from(body)
            rest = TOOK.size + count
            job.result.counts.update(json.loads(body[TOOK.size : rest]))
            job.result.parts.append(body[rest:])
            fault = None
        self.flight.popleft()
        job.end(fault)


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

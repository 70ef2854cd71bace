"""The three calls of the service, over raw messages: batches pass from the wire to a worker and back unread."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from hw_model.cost import EVALUATORS
from hw_model.errors import EdgeZooError, EnvironmentFault
from hw_model.service import cost_pb2 as pb
from hw_model.service.bench import Bench, Benches
from hw_model.service.metrics import Metrics
from hw_model.service.parts import Assembler, PartOutOfPlace, Room, TooManyParts
from hw_model.service.pool import RefusedBatch, WorkerPool
from hw_model.service.settings import ServerSettings
from hw_model.service.wire import clean
from hw_model.targets import list_targets

T = TypeVar("T")
LOG = logging.getLogger("edgezoo.service")
SERVICE_NAME = str(pb.DESCRIPTOR.services_by_name["CostService"].full_name)
#: Requests of a stream that go to a worker together, if as many have come.
STREAM_GROUP = 8
Code = grpc.StatusCode


class Refused(Exception):
    """A call that ends with a status other than OK."""

    def __init__(self, code: Any, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class CostService:
    """Answers calls by a pool of workers; knows nothing of ports and certificates."""

    def __init__(self, settings: ServerSettings, pool: WorkerPool) -> None:
        self.metrics = Metrics(workers=lambda: pool.alive, replaced=lambda: pool.replaced)
        self._settings = settings
        self._pool = pool
        self._under_way = 0
        self._room = Room(settings.max_buffered_bytes, observe=self.metrics.buffered.set)
        self._benches = Benches()
        self._benches_lock = threading.Lock()

    def handler(self) -> Any:
        """What a gRPC server is given. Messages stay bytes, so that broken ones are ours to answer."""
        handlers = {
            "Estimate": grpc.unary_unary_rpc_method_handler(
                self._unary("Estimate", self._estimate)
            ),
            "Describe": grpc.unary_unary_rpc_method_handler(
                self._unary("Describe", self._describe)
            ),
            "EstimateStream": grpc.stream_stream_rpc_method_handler(self._stream),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    def _unary(
        self, name: str, work: Callable[[bytes, Any], Awaitable[bytes]]
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(raw: bytes, context: Any) -> bytes:
            async with self._admitted(name, context):
                return await work(raw, context)
            raise AssertionError  # a call that is refused has been aborted

        return answer

    async def _stream(self, messages: AsyncIterator[bytes], context: Any) -> None:
        async with self._admitted("EstimateStream", context):
            await self._estimate_stream(messages, context)

    @contextlib.asynccontextmanager
    async def _admitted(self, method: str, context: Any) -> AsyncIterator[None]:
        """Counts a call, refuses it when there are too many, and turns what it raises into a status."""
        started = time.monotonic()
        refused: Refused | None = None
        self._under_way += 1
        self.metrics.under_way.inc()
        try:
            if self._under_way > self._settings.max_calls:
                text = f"{self._settings.max_calls} calls are being answered; try again."
                raise Refused(Code.RESOURCE_EXHAUSTED, text)
            yield
        except Refused as error:
            refused = error
        except asyncio.CancelledError:
            refused = _ended(context)
            raise
        except EnvironmentFault as error:
            refused = Refused(Code.UNAVAILABLE, str(error))
        except Exception:
            LOG.exception("a call failed")
            refused = Refused(Code.INTERNAL, "The cost server made a mistake; its log says more.")
        finally:
            self._under_way -= 1
            self.metrics.under_way.dec()
            code = refused.code if refused else Code.OK
            self.metrics.calls.labels(method, code.name).inc()
            self.metrics.seconds.labels(method).observe(time.monotonic() - started)
        if refused is not None:
            await context.abort(refused.code, clean(refused.text))

    async def _estimate(self, raw: bytes, context: Any) -> bytes:
        return b"".join(await self._run(raw, context))

    async def _run(self, batch: bytes, context: Any) -> list[bytes]:
        """Serialized responses; joined they are one, for repeated fields of a message go on in the next."""
        remaining_s = context.time_remaining()
        due = time.monotonic() + remaining_s if remaining_s is not None else 0.0
        try:
            found = await self._pool.run(batch, due=due)
        except RefusedBatch as error:
            raise Refused(Code.INVALID_ARGUMENT, str(error)) from error
        self.metrics.count_models(found.counts)
        if found.counts["left"]:
            raise Refused(Code.DEADLINE_EXCEEDED, "The deadline passed.")
        return found.parts

    async def _describe(self, raw: bytes, context: Any) -> bytes:
        request = _read(pb.DescribeRequest, raw)
        settings = self._settings
        answer = pb.DescribeResponse(
            targets=list_targets(),
            evaluators=EVALUATORS,
            reads_specs=settings.spec_reader is not None,
            workers=settings.workers,
            max_message_bytes=settings.max_message_bytes,
            max_file_bytes=settings.max_file_bytes,
            max_batch=settings.max_batch,
        )
        try:
            # Other calls go on while an evaluator is made.
            bench = await asyncio.to_thread(self._bench, request)
        except EdgeZooError as error:
            raise Refused(Code.NOT_FOUND, str(error)) from error
        answer.target_id = bench.target_id
        answer.evaluator_id = bench.evaluator.evaluator_id
        result: bytes = answer.SerializeToString()
        return result

    def _bench(self, request: "pb.DescribeRequest") -> Bench:
        with self._benches_lock:
            return self._benches.of(request.target, request.evaluator)

    async def _estimate_stream(self, messages: AsyncIterator[bytes], context: Any) -> None:
        """Writes answers in order, while as many groups are under way as there are workers."""
        inbox: _Inbox = asyncio.Queue(maxsize=2 * STREAM_GROUP)
        answers: _Answers = asyncio.Queue(maxsize=self._settings.workers)
        beside = _Beside()
        beside.start(_receive(messages, inbox))
        beside.start(self._ask(inbox, answers, beside, context))
        try:
            while (group := await answers.get()) is not None:
                for answer in await group:
                    await context.write(answer)
        finally:
            beside.cancel()

    async def _ask(
        self, inbox: "_Inbox", answers: "_Answers", beside: "_Beside", context: Any
    ) -> None:
        """Sends what comes to workers; ends with None, or with a group that fails."""
        file = Assembler(self._room, self._settings.max_file_bytes)
        last: asyncio.Task[list[bytes]] | None = None
        try:
            while group := await self._group(inbox):
                for work in self._works(group, file, context):
                    await answers.put(beside.start(work))
        except PartOutOfPlace as error:
            last = beside.start(_refuse(Code.INVALID_ARGUMENT, error))
        except TooManyParts as error:
            last = beside.start(_refuse(Code.RESOURCE_EXHAUSTED, error))
        except Refused as error:
            last = beside.start(_refuse(error.code, error))
        finally:
            file.close()
        await answers.put(last)

    async def _group(self, inbox: "_Inbox") -> list[bytes]:
        """What has arrived, at least one message; nothing at the end of the stream."""
        idle_s = self._settings.idle_timeout_s
        try:
            message = await asyncio.wait_for(inbox.get(), idle_s)
        except TimeoutError:
            text = f"Nothing arrived for {idle_s:g} s; the stream is ended."
            raise Refused(Code.ABORTED, text) from None
        group: list[bytes] = []
        while message is not None:
            group.append(message)
            if len(group) == STREAM_GROUP or inbox.empty():
                return group
            message = inbox.get_nowait()
        if group:
            # The end is for the next look too.
            inbox.put_nowait(None)
        return group

    def _works(
        self, group: list[bytes], file: Assembler, context: Any
    ) -> Iterator[Coroutine[Any, Any, list[bytes]]]:
        """What answers a group, in order; answers to files that are too large stand between the others."""
        batch = pb.EstimateBatchRequest()
        for raw in group:
            item = file.add(_read(pb.EstimateRequest, raw))
            if isinstance(item, pb.EstimateRequest):
                batch.requests.append(item)
            elif item is not None:
                if batch.requests:
                    yield self._answers(batch, context)
                batch = pb.EstimateBatchRequest()
                yield _as_it_is(item)
        if batch.requests:
            yield self._answers(batch, context)

    async def _answers(self, batch: "pb.EstimateBatchRequest", context: Any) -> list[bytes]:
        found = b"".join(await self._run(batch.SerializeToString(), context))
        responses = pb.EstimateBatchResponse.FromString(found).responses
        return [response.SerializeToString() for response in responses]


#: Messages of a stream, and answers to its groups; None is the end.
_Inbox = asyncio.Queue[bytes | None]
_Answers = asyncio.Queue[asyncio.Task[list[bytes]] | None]


class _Beside:
    """Tasks that end with a call."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins one."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def cancel(self) -> None:
        """Ends those that still run."""
        for task in tuple(self._tasks):
            task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, whether somebody waits for it or not


async def _receive(messages: AsyncIterator[bytes], inbox: _Inbox) -> None:
    """Fills the inbox until the client has said all or has gone, and ends it with None."""
    with contextlib.suppress(Exception):  # gRPC raises several kinds when a call is cancelled
        async for message in messages:
            await inbox.put(message)
    await inbox.put(None)


async def _refuse(code: Any, error: Exception) -> list[bytes]:
    raise Refused(code, str(error))


async def _as_it_is(answer: "pb.EstimateResponse") -> list[bytes]:
    return [answer.SerializeToString()]


def _ended(context: Any) -> Refused:
    """How a call ended that was not answered in time, or whose client left."""
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s <= 0:
        return Refused(Code.DEADLINE_EXCEEDED, "The deadline passed.")
    return Refused(Code.CANCELLED, "The client left.")


def _read(kind: type[Message], raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise Refused(Code.INVALID_ARGUMENT, f"not a {kind.__name__}") from error

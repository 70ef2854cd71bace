"""The three calls of the service, over raw messages: batches pass from the wire to a worker and back unread."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from hw_model.cost import EVALUATORS
from hw_model.errors import EdgeZooError, EnvironmentFault
from hw_model.service import cost_pb2 as pb
from hw_model.service.bench import Benches
from hw_model.service.metrics import Metrics
from hw_model.service.parts import Assembler, PartOutOfPlace, Room, TooManyParts
from hw_model.service.pool import CallOver, RefusedBatch, WorkerPool
from hw_model.service.settings import ServerSettings
from hw_model.service.wire import clean
from hw_model.targets import list_targets

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
        self._places = threading.BoundedSemaphore(settings.max_calls)
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
        self, name: str, work: Callable[[bytes, Any], bytes]
    ) -> Callable[[bytes, Any], bytes]:
        def answer(raw: bytes, context: Any) -> bytes:
            with self._admitted(name, context):
                return work(raw, context)

        return answer

    def _stream(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        with self._admitted("EstimateStream", context):
            yield from self._estimate_stream(messages, context)

    @contextlib.contextmanager
    def _admitted(self, method: str, context: Any) -> Iterator[None]:
        """Counts a call, refuses it when there are too many, and turns what it raises into a status."""
        started = time.monotonic()
        refused: Refused | None = None
        free = self._places.acquire(blocking=False)
        try:
            if not free:
                text = f"{self._settings.max_calls} calls are being answered; try again."
                raise Refused(Code.RESOURCE_EXHAUSTED, text)
            self.metrics.under_way.inc()
            yield
        except Refused as error:
            refused = error
        except GeneratorExit:
            refused = Refused(Code.CANCELLED, "The client left.")
            raise
        except CallOver:
            refused = Refused(Code.DEADLINE_EXCEEDED, "The deadline passed, or the client left.")
        except EnvironmentFault as error:
            refused = Refused(Code.UNAVAILABLE, str(error))
        except Exception:
            LOG.exception("a call failed")
            refused = Refused(Code.INTERNAL, "The cost server made a mistake; its log says more.")
        finally:
            if free:
                self.metrics.under_way.dec()
                self._places.release()
            code = refused.code if refused else Code.OK
            self.metrics.calls.labels(method, code.name).inc()
            self.metrics.seconds.labels(method).observe(time.monotonic() - started)
        if refused is not None:
            context.abort(refused.code, clean(refused.text))

    def _estimate(self, raw: bytes, context: Any) -> bytes:
        return b"".join(self._run(raw, context))

    def _run(self, batch: bytes, context: Any) -> list[bytes]:
        """Serialized responses; joined they are one, for repeated fields of a message go on in the next."""
        remaining_s = context.time_remaining()
        due = time.monotonic() + remaining_s if remaining_s is not None else 0.0
        try:
            found = self._pool.run(batch, due=due, gone=lambda: not context.is_active())
        except RefusedBatch as error:
            raise Refused(Code.INVALID_ARGUMENT, str(error)) from error
        self.metrics.count_models(found.counts)
        if found.counts["left"]:
            raise CallOver
        return found.parts

    def _describe(self, raw: bytes, context: Any) -> bytes:
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
            with self._benches_lock:
                bench = self._benches.of(request.target, request.evaluator)
        except EdgeZooError as error:
            raise Refused(Code.NOT_FOUND, str(error)) from error
        answer.target_id = bench.target_id
        answer.evaluator_id = bench.evaluator.evaluator_id
        result: bytes = answer.SerializeToString()
        return result

    def _estimate_stream(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        inbox: queue.Queue[bytes | None] = queue.Queue(maxsize=2 * STREAM_GROUP)
        over = threading.Event()
        threading.Thread(target=_receive, args=(messages, inbox, over), daemon=True).start()
        file = Assembler(self._room, self._settings.max_file_bytes)
        try:
            while group := self._group(inbox):
                yield from self._answers(group, file, context)
        except PartOutOfPlace as error:
            raise Refused(Code.INVALID_ARGUMENT, str(error)) from error
        except TooManyParts as error:
            raise Refused(Code.RESOURCE_EXHAUSTED, str(error)) from error
        finally:
            over.set()
            file.close()

    def _group(self, inbox: "queue.Queue[bytes | None]") -> list[bytes]:
        """What has arrived, at least one message; nothing at the end of the stream."""
        group: list[bytes] = []
        try:
            message = inbox.get(timeout=self._settings.idle_timeout_s)
            while message is not None:
                group.append(message)
                if len(group) == STREAM_GROUP:
                    break
                message = inbox.get_nowait()
            else:
                # The end is for the next look too.
                inbox.put(None)
                if not group:
                    return []
        except queue.Empty:
            if not group:
                text = (
                    f"Nothing arrived for {self._settings.idle_timeout_s:g} s; the stream is ended."
                )
                raise Refused(Code.ABORTED, text) from None
        return group

    def _answers(self, group: list[bytes], file: Assembler, context: Any) -> Iterator[bytes]:
        """Answers in order; those to files that are too large stand between the others."""
        batch = pb.EstimateBatchRequest()
        for raw in group:
            item = file.add(_read(pb.EstimateRequest, raw))
            if isinstance(item, pb.EstimateRequest):
                batch.requests.append(item)
            elif item is not None:
                yield from self._flush(batch, context)
                batch = pb.EstimateBatchRequest()
                yield item.SerializeToString()
        yield from self._flush(batch, context)

    def _flush(self, batch: "pb.EstimateBatchRequest", context: Any) -> Iterator[bytes]:
        if batch.requests:
            for part in self._run(batch.SerializeToString(), context):
                for response in pb.EstimateBatchResponse.FromString(part).responses:
                    yield response.SerializeToString()


def _receive(
    messages: Iterator[bytes], inbox: "queue.Queue[bytes | None]", over: threading.Event
) -> None:
    """Fills the inbox until the client has said all or has gone, and ends it with None."""

    def put(message: bytes | None) -> None:
        while not over.is_set():
            with contextlib.suppress(queue.Full):
                inbox.put(message, timeout=0.5)
                return

    with contextlib.suppress(Exception):  # gRPC raises a bare one when the call is cancelled
        for message in messages:
            put(message)
    put(None)


def _read(kind: type[Message], raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise Refused(Code.INVALID_ARGUMENT, f"not a {kind.__name__}") from error

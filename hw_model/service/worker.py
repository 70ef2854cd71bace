"""A worker process: takes batches from a pipe, answers them in parts, and leaves when the server is gone."""

import json
import logging
import resource
import signal
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from hw_model.service import cost_pb2 as pb
from hw_model.service.cache import CostCache
from hw_model.service.desk import Desk, SpecReader

#: Before every message, both ways: how many bytes it has.
SIZE = struct.Struct("<I")
#: Server to worker: number of the batch, when it is due (monotonic seconds, 0 for never), then the message.
HEAD = struct.Struct("<qd")
#: Worker to server: ready, a part of an answer (how many; the message), its end (size of the counts, seconds the batch
#: took; the counts; the last part), or why there is none.
READY, PART, END, REFUSED = b"R", b"P", b"E", b"X"
COUNT, TOOK = struct.Struct("<I"), struct.Struct("<Id")
#: Answers are handed on about so often; a cheap one is not worth a message of its own.
PART_S = 0.1
#: Between two looks at how much memory it holds, a batch more or less: a look takes as long as a small answer.
LOOK_S = 0.1
#: In the counts: requests left because the call was over.
LEFT = "left"
#: Cells shared with the server: the index of the request being costed, where a death tells of what, and the number of
#: the batch whose rest nobody waits for.
AT, STOP = 0, 1
#: In the first cell: nothing is being costed.
IDLE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is started with; it travels to a new process."""

    spec_reader: SpecReader | None = None
    cache_path: Path | None = None
    cache_bytes: int
    memory_bytes: int
    max_batch: int


class Pipe:
    """Messages from and to the server."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._file = end.makefile("rb")

    def receive(self) -> bytes:
        """The next message.

        Raises:
            EOFError: the server is gone.
        """
        (size,) = SIZE.unpack(self._read(SIZE.size))
        return self._read(size)

    def send(self, *parts: bytes) -> None:
        """Sends one message."""
        self._end.sendall(b"".join((SIZE.pack(sum(map(len, parts))), *parts)))

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data


def main(end: socket.socket, cells: Any, settings: WorkerSettings) -> None:
    """Works until the pipe closes; when to stop is the server's to say, whoever else hears a signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(format="edgezoo serve: worker: %(message)s", level=logging.INFO)
    cache = None
    if settings.cache_path is not None:
        cache = CostCache(settings.cache_path, max_bytes=settings.cache_bytes)
    desk = Desk(cache=cache, spec_reader=settings.spec_reader)
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, settings.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = Pipe(end)
    try:
        pipe.send(READY)
        # Evaluators remember; one that remembers too much is replaced by a fresh one.
        while _resident_bytes() < settings.memory_bytes // 2:
            look_at = time.monotonic() + LOOK_S
            while time.monotonic() < look_at:
                _answer(pipe, cells, desk, pipe.receive(), settings.max_batch)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        if cache is not None:
            cache.close()


def _answer(pipe: Pipe, cells: Any, desk: Desk, message: bytes, max_batch: int) -> None:
    number, due = HEAD.unpack_from(message)
    try:
        batch = pb.EstimateBatchRequest.FromString(message[HEAD.size :])
    except DecodeError:
        pipe.send(REFUSED, b"not an EstimateBatchRequest")
        return
    if len(batch.requests) > max_batch:
        text = f"a batch has at most {max_batch} requests. Received: {len(batch.requests)}"
        pipe.send(REFUSED, text.encode())
        return
    counts: Counter[str] = Counter()
    part = pb.EstimateBatchResponse()
    began = sent_at = time.monotonic()
    for index, request in enumerate(batch.requests):
        cells[AT] = index
        response = desk.answer(request, batch.target, batch.evaluator)
        part.responses.append(response)
        counts[outcome_of(response)] += 1
        now = time.monotonic()
        if (due and now >= due) or cells[STOP] == number:
            counts[LEFT] = len(batch.requests) - index - 1
            break
        if now - sent_at >= PART_S:
            pipe.send(PART, COUNT.pack(len(part.responses)), part.SerializeToString())
            part, sent_at = pb.EstimateBatchResponse(), now
    cells[AT] = IDLE
    said = json.dumps(counts).encode()
    took_s = time.monotonic() - began
    pipe.send(END, TOOK.pack(len(said), took_s), said, part.SerializeToString())
    # Nobody waits for the disk.
    desk.flush()


def outcome_of(response: "pb.EstimateResponse") -> str:
    """How an answer is counted: `computed`, `cached`, or the kind of its error."""
    if response.WhichOneof("outcome") == "error":
        return str(pb.Error.Kind.Name(response.error.kind)).lower()
    return "cached" if response.cached else "computed"


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()

"""Files that arrive in parts on a stream, with a bound on one file and on all of them together."""

import threading
from collections.abc import Callable

from hw_model.errors import DataError
from hw_model.service import cost_pb2 as pb
from hw_model.service.wire import error_message


class PartOutOfPlace(Exception):
    """A message that does not continue the file the stream is in."""


class TooManyParts(Exception):
    """The server holds as much of unfinished files as it may."""


class Room:
    """Bytes that the unfinished files of all streams may take."""

    def __init__(self, limit: int, *, observe: Callable[[float], None]) -> None:
        self._free, self._limit = limit, limit
        self._lock = threading.Lock()
        self._observe = observe

    def take(self, count: int) -> bool:
        """Whether there is room, which is taken then; a negative count gives back."""
        with self._lock:
            if count > self._free:
                return False
            self._free -= count
            self._observe(self._limit - self._free)
            return True


class Assembler:
    """The file that one stream is sending."""

    def __init__(self, room: Room, max_file_bytes: int) -> None:
        self._room = room
        self._max_file_bytes = max_file_bytes
        self._first: pb.EstimateRequest | None = None
        self._data = bytearray()
        self._too_large = False

    def add(
        self, request: "pb.EstimateRequest"
    ) -> "pb.EstimateRequest | pb.EstimateResponse | None":
        """A whole request, None while a file is incomplete, or the answer to one that is too large.

        Raises:
            PartOutOfPlace: the stream mixes files.
            TooManyParts: other streams hold all of the room.
        """
        if self._first is None:
            if not request.more:
                return request
            if request.WhichOneof("model") != "tflite":
                raise PartOutOfPlace("Only a .tflite file may come in parts.")
            self._first = pb.EstimateRequest()
            self._first.CopyFrom(request)
            self._first.ClearField("model")
        elif request.id != self._first.id or request.WhichOneof("model") not in ("tflite", None):
            raise PartOutOfPlace(
                f"File {self._first.id} is not complete; request {request.id} came instead of its next part."
            )
        self._keep(request.tflite)
        return None if request.more else self._finish()

    def close(self) -> None:
        """Gives up the file under way."""
        self._room.take(-len(self._data))
        self._first, self._data, self._too_large = None, bytearray(), False

    def _keep(self, data: bytes) -> None:
        if len(self._data) + len(data) > self._max_file_bytes:
            self._too_large = True
        if self._too_large:
            return
        if not self._room.take(len(data)):
            raise TooManyParts("Too many files arrive at once; try again.")
        self._data += data

    def _finish(self) -> "pb.EstimateRequest | pb.EstimateResponse":
        whole, data, too_large = self._first, bytes(self._data), self._too_large
        assert whole is not None
        self.close()
        if too_large:
            error = DataError(f"A file may have at most {self._max_file_bytes:,} bytes here.")
            return pb.EstimateResponse(id=whole.id, error=error_message(error))
        whole.tflite, whole.more = data, False
        return whole

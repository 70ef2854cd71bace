"""Several servers as one: calls go to the least busy, and to another when one does not answer."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, UsageError
from hw_model.service.cost_pb2_grpc import CostServiceStub
from hw_model.service.settings import is_loopback

T = TypeVar("T")
Code = grpc.StatusCode
#: Another server, or the same one later, may answer what these ended.
TRANSIENT = (
    Code.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED,
    Code.ABORTED,
    Code.CANCELLED,
    Code.INTERNAL,
    Code.UNKNOWN,
)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 3.0
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A machine that vanished sends no goodbye.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How clients show who they are and check who answers; empty for clear text without a token."""

    token: str = ""
    tls: bool = False
    #: Authority of the servers' certificates; None for the ones this machine trusts.
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_plaintext_token: bool = False


@dataclass(slots=True, eq=False)
class _Replica:
    address: str
    channel: Any
    stub: Any
    under_way: int = 0
    failures: int = 0
    rest_until: float = 0.0


class Replicas:
    """Servers that answer alike."""

    def __init__(self, addresses: Sequence[str], security: Security) -> None:
        if not addresses:
            raise UsageError("A cost client needs at least one address, such as 127.0.0.1:50051.")
        self._closed = False
        self._lock = threading.Lock()
        # Of its own: searches are repeatable, and pauses must not use up their numbers.
        self._random = random.Random()
        self._metadata = (("authorization", f"Bearer {security.token}"),) if security.token else ()
        credentials = _credentials(security)
        self._all = [
            self._connect(check_address(text), credentials, security) for text in addresses
        ]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(replica.address for replica in self._all)

    def close(self) -> None:
        """Ends the connections and with them every call under way."""
        self._closed = True
        for replica in self._all:
            replica.channel.close()

    def call(self, send: Callable[[Any, float, Any], T], *, timeout_s: float) -> tuple[T, str]:
        """The answer of the first server that gives one, and its address.

        `send` gets a stub, seconds and metadata; costs are pure, so it may be called again.

        Raises:
            EnvironmentFault: none answered in time.
            UsageError: the servers refuse the call itself.
        """
        deadline = time.monotonic() + timeout_s
        last = "no connection"
        while (remaining_s := deadline - time.monotonic()) > 0 and not self._closed:
            replica = self._pick(deadline)
            if replica is None:
                continue
            try:
                with self._counted(replica):
                    answer = send(replica.stub, remaining_s, self._metadata)
            except grpc.RpcError as error:
                last = f"{replica.address}: {error.code().name.lower()}, {error.details()}"
                self._judge(replica, error)
            else:
                replica.failures = 0
                return answer, replica.address
        raise EnvironmentFault(
            f"No cost service answered within {timeout_s:g} s at {', '.join(self.addresses)} (last: {last}); "
            "start one with `edgezoo serve`, or leave --cost out to compute here."
        )

    def _connect(self, address: str, credentials: Any, security: Security) -> _Replica:
        host = address.rpartition(":")[0]
        if security.token and not (
            credentials or security.allow_plaintext_token or is_loopback(host)
        ):
            raise UsageError(
                f"A token sent to {address} without TLS can be read by others; use grpcs://, or allow a "
                "plaintext token."
            )
        if credentials is None:
            channel = grpc.insecure_channel(address, options=OPTIONS)
        else:
            channel = grpc.secure_channel(address, credentials, options=OPTIONS)
        stub: Any = CostServiceStub
        return _Replica(address, channel, stub(channel))

    def _pick(self, deadline: float) -> _Replica | None:
        """The least busy server that is not resting; None after a pause when all are."""
        now = time.monotonic()
        with self._lock:
            awake = [replica for replica in self._all if replica.rest_until <= now]
            if awake:
                fewest = min(replica.under_way for replica in awake)
                return self._random.choice([r for r in awake if r.under_way == fewest])
        until = min(replica.rest_until for replica in self._all)
        time.sleep(max(0.0, min(until, deadline) - now))
        return None

    @contextlib.contextmanager
    def _counted(self, replica: _Replica) -> Iterator[None]:
        with self._lock:
            replica.under_way += 1
        try:
            yield
        finally:
            with self._lock:
                replica.under_way -= 1

    def _judge(self, replica: _Replica, error: Any) -> None:
        """Lets a server rest, or raises what no other server would answer better."""
        code, text = error.code(), error.details() or ""
        too_large = code is Code.RESOURCE_EXHAUSTED and "larger than max" in text
        if code is Code.DEADLINE_EXCEEDED:
            return
        if code in TRANSIENT and not too_large:
            with self._lock:
                replica.failures += 1
                longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(replica.failures, 10))
                replica.rest_until = time.monotonic() + self._random.uniform(0.2, 1.0) * longest
            return
        raise _final(replica.address, code, text)


def _final(address: str, code: Any, text: str) -> EdgeZooError:
    if code is Code.UNIMPLEMENTED:
        return EnvironmentFault(f"{address} is no cost service of this version: {text}")
    if code is Code.UNAUTHENTICATED:
        return UsageError(
            f"{address} refuses the call: {text} Set EDGEZOO_COST_TOKEN to the server's token."
        )
    return UsageError(f"{address} refuses the call: {text}")


def check_address(text: str) -> str:
    """`host:port`, or a `UsageError`."""
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"An address is host:port, such as 127.0.0.1:50051. Received: {text!r}")
    return text.strip()


def _credentials(security: Security) -> Any:
    if (security.tls_cert is None) != (security.tls_key is None):
        raise UsageError("A client certificate needs its key, and a key its certificate.")
    if not (security.tls or security.tls_ca or security.tls_cert):
        return None
    files = (security.tls_ca, security.tls_key, security.tls_cert)
    try:
        ca, key, cert = (None if path is None else path.read_bytes() for path in files)
    except OSError as error:
        raise DataError(f"Cannot read {error.filename}: {error.strerror}") from error
    return grpc.ssl_channel_credentials(ca, key, cert)

"""The server: port, certificates, token, health and reflection around the service, and its end in good order."""

import asyncio
import contextlib
import hmac
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

# Read when gRPC is imported: its own lines about ports and handshakes say what ours say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hw_model.errors import EnvironmentFault
from hw_model.service.metrics import serve_metrics
from hw_model.service.pool import WorkerPool
from hw_model.service.service import SERVICE_NAME, CostService
from hw_model.service.settings import ServerSettings, join_address
from hw_model.service.worker import WorkerSettings

#: Calls beside those of the service that are answered: health, reflection, and refusals.
SPARE_CALLS = 8
#: Between two looks at whether somebody is in a hurry.
LOOK_S = 0.1
CONNECTIONS = 1024


class CostServer:
    """A running server; use it as a context, or call `start` and `stop`."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self.metrics_port = settings.metrics_port
        self._pool = WorkerPool(
            WorkerSettings(
                spec_reader=settings.spec_reader,
                cache_path=settings.cache_path,
                cache_bytes=settings.cache_bytes,
                memory_bytes=settings.worker_memory_bytes,
                max_batch=settings.max_batch,
            ),
            count=settings.workers,
            item_timeout_s=settings.item_timeout_s,
        )
        self._service = CostService(settings, self._pool)
        self._health = health.aio.HealthServicer()
        self._server: Any = None
        self._metrics: Any = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event
        self._hurrying: asyncio.Event
        self._drain_s = 0.0
        self._drained = True

    @property
    def address(self) -> str:
        """Where clients find it."""
        return join_address(self.settings.host, self.port)

    def __enter__(self) -> "CostServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(drain_s=0.0)

    def start(self) -> None:
        """Starts workers, metrics and the port, in this order: who can connect is answered.

        Raises:
            EnvironmentFault: a port is taken, the cache cannot be written, or a worker does not start.
        """
        self._require_free_port()
        if self.settings.cache_path is not None:
            self._check_cache()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)), name="edgezoo-serve", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.stop(drain_s=0.0)
            raise

    def stop(self, *, drain_s: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Takes no more calls, lets those under way end within `drain_s` unless `hurry` says so; ends the workers.

        Returns whether every call was answered.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._drain_s = drain_s
        self._tell(self._ending.set)
        while thread.is_alive():
            thread.join(LOOK_S)
            if hurry():
                self._tell(self._hurrying.set)
        return self._drained

    async def _live(self, started: "Future[None]") -> None:
        """The life of a server, on an event loop of its own."""
        self._loop = asyncio.get_running_loop()
        self._ending, self._hurrying = asyncio.Event(), asyncio.Event()
        try:
            await self._begin()
            started.set_result(None)
            await self._ending.wait()
            await self._drain()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            await self._pool.close()
            if self._metrics is not None:
                await asyncio.to_thread(self._metrics.shutdown)
                self._metrics.server_close()
                self._metrics = None

    async def _begin(self) -> None:
        settings = self.settings
        await self._pool.start()
        if settings.metrics_port is not None:
            page = serve_metrics(self._service.metrics, settings.host, settings.metrics_port)
            self._metrics, self.metrics_port = page, page.server_port
        self._server = self._make_server()
        try:
            if settings.secure:
                self.port = self._server.add_secure_port(settings.address, _credentials(settings))
            else:
                self.port = self._server.add_insecure_port(settings.address)
        except RuntimeError as error:
            raise _port_taken(settings, "it is taken or not of this machine") from error
        await self._server.start()
        for name in ("", SERVICE_NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _make_server(self) -> Any:
        settings = self.settings
        server = grpc.aio.server(
            interceptors=(_TokenCheck(settings.token),) if settings.token else (),
            options=_options(settings),
            maximum_concurrent_rpcs=settings.max_calls + SPARE_CALLS,
        )
        server.add_generic_rpc_handlers((self._service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    async def _drain(self) -> None:
        """Lets calls under way end in time, or leaves them."""
        due = time.monotonic() + self._drain_s
        await self._health.enter_graceful_shutdown()
        ended = asyncio.create_task(self._server.stop(self._drain_s))
        hurried = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait((ended, hurried), return_when=asyncio.FIRST_COMPLETED)
        self._drained = ended.done() and time.monotonic() < due
        if not ended.done():
            await self._server.stop(None)
        hurried.cancel()
        await ended

    def _tell(self, what: Callable[[], None]) -> None:
        """Does something on the loop, if that still runs."""
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(what)

    def _require_free_port(self) -> None:
        """Before seconds go into workers; gRPC looks again."""
        host = self.settings.host.strip("[]")
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                host, self.settings.port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                # Connections of a server that has just ended do not hold its port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                probe.listen(1)
        except OSError as error:
            raise _port_taken(self.settings, error.strerror or str(error)) from error

    def _check_cache(self) -> None:
        """A file that cannot be written is named here and not by every worker; a damaged one is replaced once."""
        from hw_model.service.cache import CostCache

        assert self.settings.cache_path is not None
        CostCache(self.settings.cache_path, max_bytes=self.settings.cache_bytes).close()


class _TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # gRPC has no types
    """Lets calls with the token pass; health checks need none, since probes have none to send."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._deny = grpc.stream_stream_rpc_method_handler(_deny)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """The handler, or one that refuses before it has read anything."""
        sent = next((v for k, v in details.invocation_metadata if k == "authorization"), "")
        given = sent if isinstance(sent, bytes) else sent.encode("utf-8", "replace")
        open_to_all = details.method.startswith(f"/{health.SERVICE_NAME}/")
        if hmac.compare_digest(given, self._expected) or open_to_all:
            return await continuation(details)
        return self._deny


async def _deny(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Token missing or wrong.")


def _options(settings: ServerSettings) -> tuple[tuple[str, int], ...]:
    return (
        # Two servers on one port would share its calls by accident.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # One connection may meet the limit of calls, which then says so.
        ("grpc.max_concurrent_streams", settings.max_calls + SPARE_CALLS),
        ("grpc.max_allowed_incoming_connections", CONNECTIONS),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Clients look whether a silent server is still there.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    )


def _credentials(settings: ServerSettings) -> Any:
    assert settings.tls_cert is not None
    assert settings.tls_key is not None
    client_ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )


def _port_taken(settings: ServerSettings, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"Cannot listen on {settings.address}: {reason}; end what is there or choose another --port."
    )

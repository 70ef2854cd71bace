"""`edgezoo serve`: a cost service that searches on any machine ask instead of computing costs themselves."""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hw_model.errors import DataError, UsageError
from pipelines.cli.answer import Answer
from pipelines.cli.options import add_json

if TYPE_CHECKING:
    from hw_model.service import CostServer, ServerSettings

MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `serve`."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", metavar="N", type=int, default=50051, help="0 takes a free one (default: 50051)"
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, help="processes that compute (default: one a processor)"
    )
    parser.add_argument("--metrics-port", metavar="N", type=int, help="serve Prometheus metrics")
    store = parser.add_argument_group("cache")
    store.add_argument(
        "--cache",
        metavar="FILE",
        help="costs on disk (default: edgezoo/costs.sqlite3 in the cache folder)",
    )
    store.add_argument("--no-cache", action="store_true", help="keep no costs")
    store.add_argument("--cache-mb", metavar="N", type=int, default=1024, help="(default: 1024)")
    access = parser.add_argument_group("access")
    access.add_argument("--tls-cert", metavar="PEM", help="certificate of this server")
    access.add_argument("--tls-key", metavar="PEM", help="its private key")
    access.add_argument(
        "--tls-client-ca",
        metavar="PEM",
        help="answer only clients with a certificate of this authority",
    )
    access.add_argument(
        "--token-file",
        metavar="FILE",
        help="answer only clients that send this token (default: EDGEZOO_COST_TOKEN, else none)",
    )
    access.add_argument(
        "--allow-plaintext-token",
        action="store_true",
        help="a token without TLS on an address others can reach",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-calls", metavar="N", type=int, default=128, help="calls at a time (default: 128)"
    )
    limits.add_argument(
        "--max-message-mb", metavar="N", type=int, default=4, help="one message (default: 4)"
    )
    limits.add_argument(
        "--max-file-mb", metavar="N", type=int, default=64, help="a .tflite in parts (default: 64)"
    )
    limits.add_argument(
        "--item-timeout", metavar="S", type=float, default=60.0, help="one model (default: 60)"
    )
    limits.add_argument(
        "--worker-memory-mb", metavar="N", type=int, default=1024, help="each (default: 1024)"
    )
    limits.add_argument(
        "--drain",
        metavar="S",
        type=float,
        default=20.0,
        help="for calls under way at the end (default: 20)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Serves until SIGTERM or Ctrl-C; a second one does not wait for calls under way."""
    from hw_model.service import CostServer

    logging.basicConfig(format="edgezoo serve: %(message)s", level=logging.INFO, stream=sys.stderr)
    settings = _settings(args)
    server = CostServer(settings)
    asked = _count_signals()
    server.start()
    try:
        logging.getLogger("edgezoo.service").info(_greeting(server, settings))
        asked.wait()
    finally:
        left = server.stop(drain_s=settings.drain_s, hurry=lambda: asked.count > 1)
    data = {"address": server.address, "drained": left}
    return Answer(text="Stopped; every call was answered." if left else "Stopped.", data=data)


class _Signals:
    """How often this process was asked to stop."""

    def __init__(self) -> None:
        self.count = 0
        self._first = threading.Event()

    def __call__(self, *_: object) -> None:
        self.count += 1
        self._first.set()

    def wait(self) -> None:
        """Returns after the first time."""
        while not self._first.wait(1.0):
            pass


def _count_signals() -> _Signals:
    signals = _Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signals)
    return signals


def _settings(args: argparse.Namespace) -> "ServerSettings":
    from hw_model.service import ServerSettings
    from model_zoo.spec import from_json
    from pipelines.cli.machine import processors

    if args.no_cache and args.cache:
        raise UsageError("--cache and --no-cache exclude each other")
    return ServerSettings(
        host=args.host,
        port=args.port,
        workers=processors() if args.workers is None else args.workers,
        spec_reader=from_json,
        cache_path=None if args.no_cache else _path(args.cache) or default_cache(),
        cache_bytes=args.cache_mb * MIB,
        metrics_port=args.metrics_port,
        token=_token(args.token_file),
        tls_cert=_path(args.tls_cert),
        tls_key=_path(args.tls_key),
        tls_client_ca=_path(args.tls_client_ca),
        allow_plaintext_token=args.allow_plaintext_token,
        max_calls=args.max_calls,
        max_message_bytes=args.max_message_mb * MIB,
        max_file_bytes=args.max_file_mb * MIB,
        max_buffered_bytes=4 * args.max_file_mb * MIB,
        item_timeout_s=args.item_timeout,
        worker_memory_bytes=args.worker_memory_mb * MIB,
        drain_s=args.drain,
    )


def default_cache() -> Path:
    """Where costs are kept unless told otherwise."""
    from model_zoo.fetch import home

    return home() / "costs.sqlite3"


def _token(file: str | None) -> str:
    from hw_model.service.address import TOKEN_VARIABLE

    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "")
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read the token in {file}: {error}") from error
    if not token:
        raise UsageError(f"The token in {file} is empty; without a token leave --token-file out.")
    return token


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _greeting(server: "CostServer", settings: "ServerSettings") -> str:
    parts = [
        f"costs on {'grpcs' if settings.secure else 'grpc'}://{server.address}",
        f"{settings.workers} worker{'s' * (settings.workers > 1)}",
        f"cache {settings.cache_path}" if settings.cache_path else "no cache",
        "with a token" if settings.token else "no token",
    ]
    if server.metrics_port is not None:
        parts.append(f"metrics on http://{settings.host}:{server.metrics_port}/metrics")
    return ", ".join(parts)

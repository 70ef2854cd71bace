"""What a server is started with, checked before anything is started."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from hw_model.errors import DataError, UsageError
from hw_model.service.desk import SpecReader

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Address, size and limits of one server; ports of 0 are chosen by the system."""

    host: str = "127.0.0.1"
    port: int = 50051
    workers: int = 1
    #: The zoo's reader of specs: a function of a module, since worker processes import it. None: graphs and files only.
    spec_reader: SpecReader | None = None
    cache_path: Path | None = None
    cache_bytes: int = 1024 * MIB
    #: Not served when None.
    metrics_port: int | None = None
    token: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    #: With it, only clients with a certificate of this authority are answered.
    tls_client_ca: Path | None = None
    #: A token over a network in clear text can be read by others; somebody has to want that.
    allow_plaintext_token: bool = False
    #: Calls answered at a time; more are told to come again.
    max_calls: int = 128
    max_message_bytes: int = 4 * MIB
    #: A .tflite file in parts, and the parts of all files under way.
    max_file_bytes: int = 64 * MIB
    max_buffered_bytes: int = 256 * MIB
    max_batch: int = 512
    #: One model may take this long, then its worker process is replaced.
    item_timeout_s: float = 60.0
    #: A stream on which nothing arrives for so long is ended.
    idle_timeout_s: float = 300.0
    worker_memory_bytes: int = 1024 * MIB
    #: Calls under way may take this long when the server is asked to stop.
    drain_s: float = 20.0

    def __post_init__(self) -> None:
        """Raises `UsageError` for what cannot be, `DataError` for certificates that are none."""
        for name in ("port", "metrics_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65535:
                raise UsageError(f"{name} must be from 0 to 65535. Received: {port}")
        for name in ("workers", "max_calls", "max_batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        for name in ("item_timeout_s", "idle_timeout_s", "max_message_bytes", "cache_bytes"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above 0. Received: {getattr(self, name)}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("TLS needs a certificate and its key; one of them is missing.")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise UsageError("A client authority needs a certificate and key of the server too.")
        if self.token and not (self.secure or self.allow_plaintext_token or is_loopback(self.host)):
            raise UsageError(
                f"A token sent to {self.host} without TLS can be read by others; give a certificate and key, "
                "bind 127.0.0.1, or allow a plaintext token."
            )
        self._check_certificates()

    @property
    def secure(self) -> bool:
        """Whether clients speak TLS."""
        return self.tls_cert is not None

    @property
    def address(self) -> str:
        """Host and port as gRPC wants them."""
        return join_address(self.host, self.port)

    def _check_certificates(self) -> None:
        if self.tls_cert is None or self.tls_key is None:
            return
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls_cert, self.tls_key)
            if self.tls_client_ca is not None:
                context.load_verify_locations(self.tls_client_ca)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(
                str(path) for path in (self.tls_cert, self.tls_key, self.tls_client_ca) if path
            )
            reason = error.strerror or str(error) or "not PEM, or not a pair"
            raise DataError(f"These files make no certificate: {files}: {reason}") from error


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"

"""What `--cost` takes: `grpc://host:port,host:port`, or `grpcs://` for TLS, as a client."""

import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hw_model.errors import UsageError
from hw_model.service.client import CostClient
from hw_model.targets import Target

#: A secret does not belong on a command line, where every user of the machine can read it.
TOKEN_VARIABLE = "EDGEZOO_COST_TOKEN"
_FILES = {"ca": "tls_ca", "cert": "tls_cert", "key": "tls_key"}


def connect(
    url: str,
    *,
    target: str | os.PathLike[str] | Target = "pixel6",
    evaluator: str = "analytical",
) -> CostClient:
    """A client for the servers of a URL; the token is that of the environment.

    `grpcs://host:port?ca=FILE&cert=FILE&key=FILE` names certificates, `timeout_s=SECONDS` how long a call may take.

    Raises:
        UsageError: not such a URL; as `CostClient`.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("grpc", "grpcs") or not parts.netloc or parts.path.strip("/"):
        raise UsageError(
            f"A cost service is grpc://host:port,host:port (grpcs:// for TLS). Received: {url!r}"
        )
    settings: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = set(settings) - {*_FILES, "timeout_s"}
    if unknown or (parts.scheme == "grpc" and set(settings) & set(_FILES)):
        raise UsageError(
            "A cost URL takes timeout_s, and with grpcs:// also ca, cert and key. "
            f"Received: {', '.join(sorted(unknown or settings))}"
        )
    try:
        timeout_s = float(settings.pop("timeout_s", "60"))
    except ValueError as error:
        raise UsageError(f"timeout_s is a number of seconds. Received: {url!r}") from error
    return CostClient(
        parts.netloc.split(","),
        target=target,
        evaluator=evaluator,
        token=os.environ.get(TOKEN_VARIABLE, ""),
        tls=parts.scheme == "grpcs",
        timeout_s=timeout_s,
        **{_FILES[name]: path for name, path in settings.items()},
    )

"""One file over HTTP, going on where an earlier attempt stopped."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault

#: A connection that is silent for this long is broken.
TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 18
TOO_FAR, TOO_MANY, SERVER_ERROR = 416, 429, 500


def download(url: str, part: Path, *, name: str, progress: bool = True) -> None:
    """Completes the file `part`; asks again for the rest while each answer brings it further.

    A broken connection leaves what came, for the next attempt; a full disk gets it back. `name` is what messages
    call the URL.

    Raises:
        DataError: the server has no such file, or not for everybody.
        EnvironmentFault: no network, a server in trouble, or the connection broke.
        OSError: `part` cannot be written.
    """
    furthest = 0
    while not _receive(url, part, name=name, progress=progress):
        size = _size(part)
        if size <= furthest:
            raise EnvironmentFault(
                f"The connection to {name} broke after {size:,} bytes; run the same again to go on from there"
            )
        furthest = size


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(url: str, part: Path, *, name: str, progress: bool) -> bool:
    """Adds one answer to what is there already; whether that is all."""
    start = _size(part)
    response = _open(url, start, name)
    if response is None:
        return True
    with response:
        if not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            start = 0  # A server that knows no ranges sends all of it.
        length = response.headers["Content-Length"]
        total = start + int(length) if length else None
        bar = tqdm(
            desc=part.stem,
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            delay=2,
            leave=False,
            disable=None if progress else True,
        )
        try:
            with bar, part.open("ab" if start else "wb") as file:
                while chunk := _next(response):
                    file.write(chunk)
                    bar.update(len(chunk))
        except OSError:
            part.unlink(missing_ok=True)
            raise
    return chunk is not None and total in (None, _size(part))


def _open(url: str, start: int, name: str) -> http.client.HTTPResponse | None:
    """The answer to a request for what follows `start`; None if nothing does."""
    headers = {"User-Agent": "edgezoo"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == TOO_FAR and start:
                return None
            raise _refusal(name, error.code, error.reason) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise EnvironmentFault(
            f"Cannot reach {name}: {text}; check the network and the URL, or name a local file"
        ) from error
    return response


def _refusal(name: str, code: int, reason: str) -> EdgeZooError:
    said = f"{name} answers {code} {reason}"
    if code == TOO_MANY or code >= SERVER_ERROR:
        return EnvironmentFault(f"{said}; try again later")
    return DataError(f"{said}; check the URL")


def _next(response: http.client.HTTPResponse) -> bytes | None:
    """What came next, empty at the end; None where the connection broke."""
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException):
        return None

"""Files by path or by URL: what is fetched is verified by its SHA-256 and kept in a cache folder."""

import contextlib
import fcntl
import os
import re
import shutil
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from hw_model.errors import DataError, EnvironmentFault, UsageError
from hw_model.files import atomic_path, sha256_of

#: Names the folder that holds what was fetched (default: `edgezoo` in the user's cache folder).
HOME_VARIABLE = "EDGEZOO_HOME"
#: Anything but 0 forbids using the network.
OFFLINE_VARIABLE = "EDGEZOO_OFFLINE"


def home() -> Path:
    """The folder of everything fetched."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(HOME_VARIABLE) or f"{caches}/edgezoo").expanduser()


def is_offline() -> bool:
    """Whether the user forbids using the network."""
    return os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")


def fetch(
    origin: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    target: Path | None = None,
    progress: bool = True,
) -> Path:
    """Path of the file that `origin` names by path or URL, verified by its SHA-256.

    A local file is taken where it lies, verified if `sha256` is given. One behind http or https needs it, and is
    fetched once: a fetch that broke off goes on where it stopped, and of several at a time one does the work.
    With `target` the file lies there instead, whatever the origin.

    Raises:
        UsageError: no such kind of URL, or one without a SHA-256.
        DataError: no such file, or not the one that was asked for; nothing of it is kept.
        EnvironmentFault: no network, offline, the connection broke, or the cache cannot be written.
    """
    wanted = _checked_sum(sha256)
    local = local_path(origin)
    if local is not None and target is None:
        _verify(local, wanted, str(local))
        return local
    if wanted is None:
        raise UsageError(f"{shown(origin)} is fetched only with the SHA-256 it must have")
    final = target or home() / "files" / wanted[:16] / file_name(origin)
    if _holds(final, wanted):
        return final
    try:
        with locked(wanted[:16]):
            if _holds(final, wanted):
                return final  # Another process was faster.
            final.parent.mkdir(parents=True, exist_ok=True)
            if local is None:
                _from_network(os.fspath(origin), wanted, final, progress=progress)
            else:
                with atomic_path(final) as temporary:
                    _copy(local, temporary)
                    _verify(temporary, wanted, str(local))
    except OSError as error:
        # The network's errors were named where they came up; these are the disk's.
        raise EnvironmentFault(
            f"Cannot write {final}: {error.strerror or error}; free some space, or name another folder in "
            f"{HOME_VARIABLE}"
        ) from error
    return final


def shown(origin: str | os.PathLike[str]) -> str:
    """A path or URL as it may be printed and recorded: without user, password and query.

    >>> shown("https://me:secret@example.org:8000/net.tflite?token=1")
    'https://example.org:8000/net.tflite'
    """
    text = os.fspath(origin)
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https"):
        return text
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def local_path(origin: str | os.PathLike[str]) -> Path | None:
    """The path a path or URL means; None for what lies behind http or https."""
    text = os.fspath(origin)
    if "://" not in text and not text.startswith("file:"):
        return Path(text)
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        parts = urllib.parse.SplitResult("", "", "", "", "")
    if parts.scheme in ("http", "https") and parts.hostname:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise UsageError(f"A file is a path or a URL of http, https or file. Received: {text!r}")
    return Path(urllib.parse.unquote(parts.path))


def is_url(origin: str | os.PathLike[str]) -> bool:
    """Whether the network is needed to read it."""
    return local_path(origin) is None


def _checked_sum(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"A SHA-256 has 64 hexadecimal digits. Received: {sha256!r}")
    return sha256 and sha256.lower()


def file_name(origin: str | os.PathLike[str]) -> str:
    """The name of the file at a path or URL."""
    local = local_path(origin)
    if local is not None:
        return local.name
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(os.fspath(origin)).path)).name
    if not name or name.startswith(".") or not name.isprintable():
        raise UsageError(f"{shown(origin)} does not end in the name of a file")
    return name


def _holds(path: Path, wanted: str) -> bool:
    return path.is_file() and sha256_of(path) == wanted


def _verify(path: Path, wanted: str | None, origin: str) -> None:
    if not path.is_file():
        raise DataError(f"No file at {origin}")
    if wanted is not None and (received := sha256_of(path)) != wanted:
        page = " It is a web page: the link may be for browsers." if _is_page(path) else ""
        raise DataError(
            f"{origin} is not the file asked for. Expected SHA-256 {wanted}. Received: {received}.{page}"
        )


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise DataError(f"No file at {source}")
    shutil.copyfile(source, target)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Waits for another process that holds `name`; the system frees the lock of one that died."""
    path = home() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another process that fetches the same", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _from_network(url: str, wanted: str, final: Path, *, progress: bool) -> None:
    from model_zoo.download import download

    if is_offline():
        state = "damaged in" if final.exists() else "not in"
        raise EnvironmentFault(
            f"{shown(url)} is {state} the cache ({final}), and {OFFLINE_VARIABLE} forbids fetching it; "
            "unset that, or name a local file"
        )
    part = final.with_name(f"{final.name}.part")
    resumed = part.exists()
    download(url, part, name=shown(url), progress=progress)
    try:
        _verify(part, wanted, shown(url))
    except DataError:
        part.unlink()
        if not resumed:
            raise
        # What lay there was the half of another file.
        return _from_network(url, wanted, final, progress=progress)
    part.replace(final)
    return None

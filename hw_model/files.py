"""Writing files so that a crash, a kill or a full disk never leaves half of one behind."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw_model.errors import EnvironmentFault


@contextmanager
def atomic_path(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `final` (same suffix) that replaces it when the block succeeds.

    Raises:
        EnvironmentFault: the folder cannot be written, the disk is full or `final` is a device; it is untouched.
    """
    target = Path(final)
    if target.exists() and not (target.is_file() or target.is_dir()):
        # Renaming would put a file where a device is, for everybody on the machine.
        raise EnvironmentFault(f"Cannot write {target}: it is a device or a pipe; choose a file.")
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}-", suffix="".join(target.suffixes), dir=target.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault(
            f"Cannot write {target}: {reason}. Nothing was changed; free some space or choose another folder."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replaces the file at `path` by `content`, or leaves it untouched."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path` by UTF-8 `text`, or leaves it untouched."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces the file at `path` by readable JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

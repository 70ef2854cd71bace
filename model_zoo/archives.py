"""What others publish, ready to be read: fetched if it is behind a URL, and unpacked if it is a tar archive."""

import contextlib
import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from hw_model.errors import DataError, EnvironmentFault
from model_zoo.fetch import fetch, local_path

SUFFIXES = (".tar", ".tar.gz", ".tgz")
#: What a damaged archive raises; one that would write outside its folder raises a `TarError` too.
_FAULTS = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


@contextlib.contextmanager
def unpacked(
    origin: str | os.PathLike[str], *, sha256: str | None = None, progress: bool = True
) -> Iterator[Path]:
    """Path of what lies at a path or URL, see `fetch`; of an archive the folder it holds, until the block ends.

    A local path may be that of a folder or the prefix of a checkpoint: who reads it says what is missing.

    Raises:
        DataError: an archive that is damaged, or has members outside its folder.
        EnvironmentFault: there is no room to unpack it.
    """
    path = local_path(origin)
    if path is None or sha256 is not None:
        path = fetch(origin, sha256=sha256, progress=progress)
    if not path.name.endswith(SUFFIXES) or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgezoo-", ignore_cleanup_errors=True) as folder:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except _FAULTS as error:
            raise DataError(f"{path} is damaged, or no safe archive: {error}") from error
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot unpack {path} in {folder}: {error.strerror or error}; free some space, or name another "
                "folder in TMPDIR"
            ) from error
        yield _innermost(Path(folder))


def _innermost(folder: Path) -> Path:
    """The folder that holds more than one folder."""
    inside = list(folder.iterdir())
    return _innermost(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder

"""Costs on disk, shared by every process that opens the file: a loss costs time, so no fault in here is ever fatal."""

import fcntl
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hw_model.errors import EnvironmentFault

T = TypeVar("T")
LOG = logging.getLogger("edgezoo.service")
#: Writers wait this long for each other; then what they wanted to store is dropped.
BUSY_MS = 2000
CHECK_BYTES = 8
#: Costs on disk that were asked for are kept in memory too, so many of at most this size.
REMEMBERED, REMEMBERED_BYTES = 1 << 14, 1 << 10
#: Share of the bound that may be written between two looks at the size of the file.
LOOK_SHARE = 1 / 16
SCHEMA = """
CREATE TABLE IF NOT EXISTS costs (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)
"""


class CostCache:
    """A bounded table of answers by key; the oldest go first.

    Every value carries a checksum with its key, since a damaged page can still be a legal page. A file SQLite
    cannot read is moved aside, with a line in the log, and a new one begun.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int) -> None:
        """Opens or makes the file.

        Raises:
            EnvironmentFault: the folder cannot be written.
        """
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._pending: dict[bytes, bytes] = {}
        self._read: dict[bytes, bytes] = {}
        # Several may have written before: the first to store looks.
        self._unseen_bytes: float = max_bytes
        self._db: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock():
                pass
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot keep costs in {self.path}: {error.strerror}; choose another file or none."
            ) from error
        self._guarded(self._open)

    def get(self, key: bytes) -> bytes | None:
        """The value under a key; None where there is none, or a damaged one."""
        known = self._read.get(key) or self._pending.get(key)
        if known is not None:
            return known
        sealed = self._guarded(lambda: self._select(key))
        if sealed is None:
            return None
        value = sealed[CHECK_BYTES:]
        if _seal(key, value) != sealed:
            LOG.warning("a damaged cost in %s is computed again", self.path)
            self._guarded(lambda: self._delete(key))
            return None
        if len(value) <= REMEMBERED_BYTES:
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            self._read[key] = value
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Remembers a value; it is on disk after the next `flush`."""
        self._pending[key] = value
        self._read.pop(key, None)

    def flush(self) -> None:
        """Writes what was put since the last call."""
        if self._pending:
            self._guarded(self._store)
            self._pending.clear()

    def close(self) -> None:
        """Writes and closes."""
        self.flush()
        if self._db is not None:
            self._db.close()
            self._db = None

    def __len__(self) -> int:
        count = self._guarded(lambda: self._open().execute("SELECT count(*) FROM costs").fetchone())
        return int(count[0]) if count else 0

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(
                self.path, timeout=BUSY_MS / 1e3, isolation_level=None, check_same_thread=False
            )
            try:
                db.execute("PRAGMA journal_mode=WAL")
                # A power cut may lose the last costs, never the file.
                db.execute("PRAGMA synchronous=NORMAL")
                db.execute(f"PRAGMA journal_size_limit={1 << 24}")
                db.execute(SCHEMA)
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db

    def _select(self, key: bytes) -> bytes | None:
        row = self._open().execute("SELECT value FROM costs WHERE key = ?", (key,)).fetchone()
        return row[0] if row and isinstance(row[0], bytes) else None

    def _delete(self, key: bytes) -> None:
        self._open().execute("DELETE FROM costs WHERE key = ?", (key,))

    def _store(self) -> None:
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT OR REPLACE INTO costs (key, value) VALUES (?, ?)",
                [(key, _seal(key, value)) for key, value in self._pending.items()],
            )
            self._unseen_bytes += sum(map(len, self._pending.values()))
            if self._unseen_bytes > self._max_bytes * LOOK_SHARE:
                self._shrink(db)
                self._unseen_bytes = 0
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _shrink(self, db: sqlite3.Connection) -> None:
        """Forgets the oldest quarter once the file is as large as it may be; its pages are used again."""
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._max_bytes:
            low, high = db.execute("SELECT min(number), max(number) FROM costs").fetchone()
            db.execute("DELETE FROM costs WHERE number <= ?", (low + (high - low) // 4,))

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Runs work on the file; None when it failed, after the file was replaced if it is damaged."""
        try:
            return work()
        except sqlite3.OperationalError as error:
            # Locked for too long, a full disk, no permission: the next one may succeed.
            LOG.warning("the cost cache %s is not used this time: %s", self.path, error)
        except sqlite3.DatabaseError as error:
            self._replace(error)
        return None

    def _replace(self, error: Exception) -> None:
        """Moves a damaged file aside, unless another process has done so by now."""
        if self._db is not None:
            self._db.close()
            self._db = None
        try:
            with self._lock():
                if not self._sound():
                    aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
                    os.replace(self.path, aside)
                    for suffix in ("-wal", "-shm"):
                        self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                    LOG.warning(
                        "the cost cache %s is damaged (%s): moved to %s and begun anew",
                        self.path, error, aside.name,
                    )  # fmt: skip
                self._open()
        except (OSError, sqlite3.Error) as failure:
            LOG.warning("the cost cache %s cannot be begun anew: %s", self.path, failure)

    def _sound(self) -> bool:
        try:
            db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
            try:
                found: bool = db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
                return found
            finally:
                db.close()
        except sqlite3.OperationalError:
            return not self.path.exists()
        except sqlite3.DatabaseError:
            return False

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time replaces the file; the kernel drops the lock when it ends, however it ends."""
        with self.path.with_name(self.path.name + ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _seal(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(key + value).digest()[:CHECK_BYTES] + value

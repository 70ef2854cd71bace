"""Optuna's journal file with one disk flush per batch, and no lock file that a killed driver would leave behind."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend


class Journal(BaseJournalBackend):
    """One JSON object a line, as Optuna's own file backend writes and its tools read.

    For a single writer: the study lock keeps others out, so whatever follows the first read is what this
    object appended, and the file is not read again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] | None = None
        self._forgotten = 0
        self._batch: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Entries from that number on; those before it are not asked for again."""
        if self._entries is None:
            self._entries = _read(self._path)
        entries = self._entries[log_number_from - self._forgotten :]
        self._entries = entries
        self._forgotten = log_number_from
        yield from entries

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes at once, or at the end of the batch."""
        if self._entries is None:
            self._entries = _read(self._path)
        self._entries += logs
        if self._batch is None:
            self._write(logs)
        else:
            self._batch += logs

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything appended inside is written, and flushed to disk, in one go at the end."""
        batch: list[dict[str, Any]] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
            self._write(batch)

    def _write(self, logs: list[dict[str, Any]]) -> None:
        if not logs:
            return
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        left = memoryview(text.encode())
        try:
            with self._path.open("ab", buffering=0) as file:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
        except OSError:
            repair_journal(self._path)
            raise


def _read(path: Path) -> list[dict[str, Any]]:
    """All whole lines; the last may be torn or still being written.

    Raises:
        ValueError: a line that others follow is not JSON.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON") from error
    return entries


def repair_journal(path: Path) -> int:
    """Cuts a last line that a killed or full-disk write left torn; returns the bytes removed.

    Only the driver calls this, under the study lock: a torn line left in place would swallow the next one.
    """
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        keep, block = size, 1 << 16
        while keep > 0:
            start = max(0, keep - block)
            file.seek(start)
            cut = file.read(keep - start).rfind(b"\n")
            if cut >= 0:
                keep = start + cut + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)
            os.fsync(file.fileno())
    return size - keep

"""Storage URLs: which of them are files on this machine."""

from pathlib import Path

JOURNAL_SCHEME = "journal:///"
_SQLITE_SCHEME = "sqlite:///"


def journal_path(url: str) -> Path | None:
    """The file behind a journal URL."""
    return Path(url.removeprefix(JOURNAL_SCHEME)) if url.startswith(JOURNAL_SCHEME) else None


def storage_file(url: str) -> Path | None:
    """The file behind a journal or SQLite URL; None for a server."""
    if url.startswith(_SQLITE_SCHEME):
        return Path(url.removeprefix(_SQLITE_SCHEME))
    return journal_path(url)


def without_password(url: str) -> str:
    """The URL as it may be shown.

    >>> without_password("postgresql://me:secret@host/db")
    'postgresql://***@host/db'
    """
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else url

"""Files that trials read besides their data: they stay the same for as long as a study goes on."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw_model.errors import DataError, UsageError
from hw_model.files import sha256_of
from pipelines.search.config import QualityConfig


def with_hashes(quality: QualityConfig) -> QualityConfig:
    """The config with where its vocabulary and its teacher are, and what they hold now.

    Raises:
        DataError: no such file.
        UnknownNameError: no such preset.
    """
    changes: dict[str, Any] = {}
    if quality.vocabulary:
        changes["vocabulary"] = os.path.abspath(quality.vocabulary)
        changes["vocabulary_sha256"] = _sha256(Path(quality.vocabulary))
    if quality.teacher:
        if os.path.exists(quality.teacher):
            changes["teacher"] = os.path.abspath(quality.teacher)
        changes["teacher_sha256"] = _sha256(_weights(quality.teacher))
    return replace(quality, **changes)


def check_unchanged(quality: QualityConfig) -> None:
    """Raises `UsageError` where a file is not what it was when the study began."""
    now = with_hashes(quality)
    for name in ("vocabulary", "teacher"):
        was, found = getattr(quality, f"{name}_sha256"), getattr(now, f"{name}_sha256")
        if was not in ("", found):
            raise UsageError(
                f"{getattr(quality, name)} changed since this study began; put the file back or start a new study. "
                f"Was: {was[:12]}. Received: {found[:12]}"
            )


def _weights(teacher: str) -> Path:
    from pipelines.distill.teachers import weights_file

    return weights_file(teacher)


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"No file at {path}")
    return sha256_of(path)

"""Presets of a weights folder elsewhere, brought into the cache, where their names are known like those that ship."""

import os
import urllib.parse
from collections.abc import Sequence
from pathlib import PurePosixPath

from hw_model.errors import DataError, UnknownNameError, UsageError
from model_zoo import presets
from model_zoo.fetch import fetch, is_url, locked, shown


def fetch_presets(
    origin: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    only: Sequence[str] = (),
    progress: bool = True,
) -> tuple[presets.Preset, ...]:
    """Fetches the presets, or those named in `only`, that the `MANIFEST.json` at this path or URL lists.

    The manifest's SHA-256, needed for a URL, vouches for all: it holds those of the files, which lie beside it. A
    preset is known by its name when all its files are here.

    Raises:
        UsageError: another kind of file; no such preset.
        DataError: a file is missing or another one, or a name is taken by other weights.
        EnvironmentFault: no network, offline, the connection broke, or the cache cannot be written.
    """
    place = os.fspath(origin)
    manifest = fetch(place, sha256=sha256, progress=progress)
    if manifest.name != presets.MANIFEST:
        raise UsageError(f"Presets are listed in a {presets.MANIFEST}. Received: {shown(place)}")
    held = {preset.name: preset for preset in presets.read_manifest(manifest.parent).presets}
    if unknown := [name for name in only if name not in held]:
        raise UnknownNameError("preset", unknown[0], held)
    wanted = tuple(held[name] for name in only) or tuple(held.values())
    for preset in wanted:
        _check(preset, shown(place))
    for preset in wanted:
        _bring(preset, place, str(manifest.parent), progress=progress)
    return wanted


def _check(preset: presets.Preset, place: str) -> None:
    """Refuses paths that lead out of the preset's folder, and other weights under a name that has some."""
    for file in preset.files:
        path = PurePosixPath(file.path)
        if path.parent != PurePosixPath(preset.name) or path.name.startswith("."):
            raise DataError(f"{place}: {preset.name} has a file outside its folder: {file.path!r}")
    if preset.name in presets.names():
        folder, own = presets.find(preset.name)
        if own.weights != preset.weights:
            raise DataError(
                f"{preset.name} has other weights in {folder}, and a name never changes its own; "
                f"give the one in {place} another name"
            )


def _bring(preset: presets.Preset, place: str, folder: str, *, progress: bool) -> None:
    root = presets.fetched_dir()
    for file in preset.files:
        if is_url(place):
            before, after = place.rsplit(presets.MANIFEST, 1)
            origin = f"{before}{urllib.parse.quote(file.path)}{after}"
        else:
            origin = f"{folder}/{file.path}"
        fetch(origin, sha256=file.sha256, target=root / file.path, progress=progress)
    with locked("weights"):
        presets.put(root, preset)

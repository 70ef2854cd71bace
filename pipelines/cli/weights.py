"""`edgezoo weights`: where presets lie, whether their files are intact, and fetching more."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, UsageError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import add_json

if TYPE_CHECKING:
    from model_zoo.presets import Preset

_ACTIONS = {
    "where": "folders of the presets on this machine, and where each is from",
    "verify": "compare every file with the SHA-256 its manifest gives",
    "fetch": "bring a file, or the presets a MANIFEST.json lists, into the cache",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `weights`, each action with its own."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        for name, summary in _ACTIONS.items()
    }
    for name in ("where", "verify"):
        parsers[name].add_argument(
            "presets", nargs="*", metavar="PRESET", help="presets or weights folders (default: all)"
        )
    parsers["fetch"].add_argument("origin", metavar="URL", help="URL or path of the file")
    parsers["fetch"].add_argument(
        "presets", nargs="*", metavar="PRESET", help="of those a MANIFEST.json lists (default: all)"
    )
    parsers["fetch"].add_argument(
        "--sha256", metavar="H", help="SHA-256 the file must have; needed for a URL"
    )
    for sub in parsers.values():
        add_json(sub)


def resume_hint(args: argparse.Namespace) -> str:
    """How to go on after Ctrl-C."""
    return "run the same again to go on from there" if args.action == "fetch" else ""


def run(args: argparse.Namespace) -> Answer:
    """Dispatches to the action."""
    return {"where": _where, "verify": _verify, "fetch": _fetch}[args.action](args)


def _named(references: Sequence[str]) -> list[tuple[Path, "Preset"]]:
    """Folder and entry of the presets meant: all that have a name here, unless some are named."""
    from model_zoo import presets

    found = []
    for reference in references or presets.names():
        if reference not in presets.names() and Path(reference).is_dir():
            folder = Path(reference)
            found += [(folder, preset) for preset in presets.read_manifest(folder).presets]
        else:
            found.append(presets.find(reference))
    return found


def _source(folder: Path) -> str:
    from model_zoo import presets

    if folder == presets.fetched_dir():
        return "fetched"
    if folder != presets.weights_dir():
        return "folder"
    return presets.FOLDER_VARIABLE if os.environ.get(presets.FOLDER_VARIABLE) else "shipped"


def _where(args: argparse.Namespace) -> Answer:
    from model_zoo.fetch import OFFLINE_VARIABLE, home, is_offline

    rows = [
        {
            "preset": preset.name,
            "from": _source(folder),
            "licence": preset.licence,
            "bytes": sum(file.size_bytes for file in preset.files),
            "folder": str(folder / preset.name),
            "files": [str(folder / file.path) for file in preset.files],
        }
        for folder, preset in _named(args.presets)
    ]
    if args.presets:
        # Alone, so that a shell can use them.
        return Answer(text="\n".join(str(row["folder"]) for row in rows), data=rows)
    keys = ("preset", "from", "licence", "bytes", "folder")
    shown = [
        table(keys, [[row[key] for key in keys] for row in rows]) if rows else "No presets.",
        "",
        facts(
            [
                ("cache", home()),
                ("network", f"forbidden by {OFFLINE_VARIABLE}" if is_offline() else "allowed"),
            ]
        ),
    ]
    return Answer(text="\n".join(shown), data=rows)


def _verify(args: argparse.Namespace) -> Answer:
    from tqdm import tqdm

    from model_zoo import presets

    rows: list[dict[str, Any]] = []
    held = [
        (folder, preset, file) for folder, preset in _named(args.presets) for file in preset.files
    ]
    for folder, preset, file in tqdm(
        held, desc="verify", unit="file", delay=2, leave=False, disable=None
    ):
        state = "ok"
        try:
            presets.checked_file(folder, file)
        except DataError:
            state = "corrupt" if (folder / file.path).exists() else "missing"
        rows.append({"preset": preset.name, "file": str(folder / file.path), "state": state})
    bad = [row for row in rows if row["state"] != "ok"]
    verdict = f"All {len(rows)} files are as their manifests say."
    if bad:
        verdict = f"{len(bad)} of {len(rows)} files are not what their manifests say: restore or fetch them again."
    body = [[row["preset"], Path(row["file"]).name, row["state"]] for row in rows]
    text = f"{table(('preset', 'file', 'state'), body)}\n\n{verdict}" if rows else "No presets."
    return Answer(text=text, data=rows, code=DataError.exit_code if bad else 0)


def _fetch(args: argparse.Namespace) -> Answer:
    from model_zoo.fetch import fetch, file_name
    from model_zoo.fetched import fetch_presets
    from model_zoo.presets import MANIFEST, fetched_dir

    if file_name(args.origin) == MANIFEST:
        found = fetch_presets(args.origin, sha256=args.sha256, only=args.presets)
        lines = [f'{preset.name}: model_zoo.create_model("{preset.name}")' for preset in found]
        folders = [str(fetched_dir() / preset.name) for preset in found]
        return Answer(
            text="\n".join(lines),
            data={"presets": [preset.name for preset in found], "folders": folders},
        )
    if args.presets:
        raise UsageError(f"Presets are listed in a {MANIFEST}. Received: {args.origin}")
    path = fetch(args.origin, sha256=args.sha256)
    return Answer(text=str(path), data={"file": str(path)})

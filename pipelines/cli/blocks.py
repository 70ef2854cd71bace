"""`edgezoo blocks`: what inverted bottlenecks cost by kind, kernel, expansion, groups and shape; which never pay."""

import argparse
import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from hw_model.files import write_text
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import add_evaluator, add_json, add_target

if TYPE_CHECKING:
    from hw_model.targets import Target
    from pipelines.search.block_analyzer import Grid, Place, Sweep
    from pipelines.search.domination import Useless
    from pipelines.search.prune_file import Pruning

SHAPES = "112x112x16,56x56x32,28x28x64,28x28x96,14x14x128,14x14x192,7x7x256,7x7x384"
#: Largest side, channel count or other number of a sweep.
_LARGEST = 1 << 14
_SHAPE = re.compile(r"(\d+)x(\d+)x(\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `blocks`."""
    add_target(parser)
    add_evaluator(parser)
    what = parser.add_argument_group("what to cost")
    what.add_argument(
        "--shapes",
        metavar="HxWxC,...",
        default=SHAPES,
        help="inputs of the block (default: %(default)s)",
    )
    what.add_argument("--kernels", metavar="K,...", default="3,5", help="(default: 3,5)")
    what.add_argument("--expansions", metavar="E,...", default="4,8", help="(default: 4,8)")
    what.add_argument(
        "--group-sizes",
        metavar="G,...",
        default="16,32,64,128",
        help="channels of a group (default: 16,32,64,128)",
    )
    what.add_argument("--stride", metavar="N", type=int, default=1, help="(default: 1)")
    what.add_argument(
        "--out", metavar="FILE.html", default="blocks.html", help="page (default: blocks.html)"
    )
    what.add_argument("--csv", metavar="FILE.csv", help="also write every block as a line")
    add_json(parser)
    prune = parser.add_argument_group("what a search can leave out")
    prune.add_argument(
        "--prune-space",
        metavar="OUT.json",
        help="write which choices of a space never pay on the target, for search run --prune",
    )
    prune.add_argument("--space", metavar="NAME", default="mobilenet_edgetpu_v2")
    prune.add_argument(
        "--image-size", metavar="N", type=int, default=224, help="of the search (default: 224)"
    )
    prune.add_argument(
        "--width", metavar="F", type=float, default=1.0, help="of the search (default: 1)"
    )


def run(args: argparse.Namespace) -> Answer:
    """Sweeps, prunes if asked, and writes the files before anything is printed."""
    from hw_model.targets import load_target
    from pipelines.report import write
    from pipelines.report.blocks import block_sections
    from pipelines.search.block_analyzer import sweep
    from pipelines.search.domination import dominated_in

    target, grid = load_target(args.target), _grid(args)
    with _progress("blocks", len(grid)) as advance:
        found = sweep(target, grid, evaluator=args.evaluator, advance=advance)
    if not found.costs:
        raise UsageError("No block of this grid is legal: no group size divides the channels")
    useless = dominated_in(found)
    pruning = _prune(args, target) if args.prune_space else None
    write(
        args.out,
        f"Neural blocks on {target.name}",
        f"Inverted bottlenecks on {target.title}: what they cost, and which never pay.",
        block_sections(found, useless, pruning),
        footer="Made by edgezoo blocks. Latency and energy are predictions.",
    )
    if args.csv:
        _write_csv(found, useless, args.csv)
    return Answer(
        text=_text(args, found, useless, pruning), data=_data(args, found, useless, pruning)
    )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="block", disable=None, delay=1.0) as bar:
        yield lambda: bar.update()


def _grid(args: argparse.Namespace) -> "Grid":
    from pipelines.search.block_analyzer import Grid

    return Grid(
        places=_places(args.shapes),
        kernels=_numbers("--kernels", args.kernels),
        expansions=_numbers("--expansions", args.expansions),
        group_sizes=_numbers("--group-sizes", args.group_sizes),
        stride=args.stride,
    )


def _places(text: str) -> "tuple[Place, ...]":
    from pipelines.search.block_analyzer import Place

    places = []
    for shape in text.split(","):
        match = _SHAPE.fullmatch(shape.strip())
        if match is None or not all(0 < int(side) <= _LARGEST for side in match.groups()):
            raise UsageError(
                f"--shapes are HEIGHTxWIDTHxCHANNELS of 1 to {_LARGEST}, such as 28x28x96. "
                f"Received: {shape!r}"
            )
        height, width, channels = map(int, match.groups())
        places.append(Place(height=height, width=width, channels=channels))
    return tuple(dict.fromkeys(places))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < int(part) <= _LARGEST for part in parts):
        raise UsageError(f"{option} are whole numbers of 1 to {_LARGEST}. Received: {text!r}")
    return tuple(dict.fromkeys(map(int, parts)))


def _prune(args: argparse.Namespace, target: "Target") -> "Pruning":
    from pipelines.search.pruning import find_pruning, work_of
    from pipelines.search.spaces import space_entry

    entry = space_entry(args.space)
    entry.check_prunable()
    if args.image_size < 1 or not 0 < args.width <= 4:
        raise UsageError(
            "--image-size is at least 1 and --width above 0 and at most 4. "
            f"Received: {args.image_size}, {args.width}"
        )
    space = entry.make(image_size=args.image_size, channels=3, num_classes=1001, width=args.width)
    with _progress("pruning", work_of(space)) as advance:
        pruning = find_pruning(
            space,
            space_name=entry.name,
            target=target,
            evaluator=args.evaluator,
            advance=advance,
        )
    pruning.write(args.prune_space)
    return pruning


def _rows(found: "Sweep", useless: "Useless") -> list[dict[str, Any]]:
    from pipelines.search.block_analyzer import choice_label

    rows = []
    for cost in found.costs:
        by = useless.get((cost.place, cost.stack))
        rows.append({**cost.to_dict(), "dominated_by": None if by is None else choice_label(by)})
    return rows


def _write_csv(found: "Sweep", useless: "Useless", path: str) -> None:
    rows = _rows(found, useless)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _data(
    args: argparse.Namespace, found: "Sweep", useless: "Useless", pruning: "Pruning | None"
) -> dict[str, Any]:
    pruned = None
    if pruning is not None:
        pruned = {
            "path": args.prune_space,
            "space": pruning.space,
            "pruned_share": pruning.pruned_share,
            "choices": [
                {"path": c.path, "kept": c.kept, "pruned": c.pruned} for c in pruning.choices
            ],
        }
    return {
        "target": found.target.name,
        "target_id": found.target.target_id,
        "evaluator_id": found.evaluator_id,
        "declared_error": found.declared_error,
        "page": args.out,
        "csv": args.csv,
        "blocks": _rows(found, useless),
        "illegal": len(found.illegal),
        "pruning": pruned,
    }


def _text(
    args: argparse.Namespace, found: "Sweep", useless: "Useless", pruning: "Pruning | None"
) -> str:
    rows = []
    for place in found.grid.places:
        costs = found.at(place)
        fastest = min(costs, key=lambda cost: cost.latency_us, default=None)
        if fastest is None:
            continue
        gone = sum((place, cost.stack) in useless for cost in costs)
        rows.append([str(place), fastest.label, fastest.latency_us, f"{gone} of {len(costs)}"])
    head = facts(
        [
            ("target", found.target.title),
            ("evaluator", f"{found.evaluator_id}, latency error {found.declared_error:.1%}"),
            ("blocks", len(found.costs)),
            *([("left out", _illegal(found))] if found.illegal else []),
        ]
    )
    lines = [head, table(["shape", "fastest block", "us", "never useful"], rows)]
    if pruning is not None:
        lines.append(_pruned_text(args, pruning))
    files = [f"Page written to {args.out}", *([f"CSV written to {args.csv}"] if args.csv else [])]
    return "\n\n".join([*lines, "\n".join(files)])


def _illegal(found: "Sweep") -> str:
    sizes = [
        size
        for size in found.grid.group_sizes
        if not any(cost.stack.group_size == size for cost in found.costs)
    ]
    which = f"; of group size {', '.join(map(str, sizes))} every one" if sizes else ""
    return f"{len(found.illegal)} whose groups do not divide the channels{which}"


def _pruned_text(args: argparse.Namespace, pruning: "Pruning") -> str:
    lost = [
        [choice.path, ", ".join(map(str, choice.pruned)), ", ".join(map(str, choice.kept))]
        for choice in pruning.choices
    ]
    share = f"{pruning.pruned_share:.1%} of the block choices of {pruning.space} never pay"
    shown = table(["choice", "never useful", "kept"], lost) if lost else "No value goes altogether."
    size = f" --image-size {args.image_size}" + (
        f" --width {args.width:g}" if args.width != 1 else ""
    )
    after = f"Next: edgezoo search run --target {args.target} --prune {args.prune_space}{size} --budget 1ms"
    return f"{share}\n{shown}\n{after}"

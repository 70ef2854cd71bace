"""What a new study is told: the options of `edgezoo search run`, and the settings they become."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli import texts
from pipelines.cli.options import add_target
from pipelines.cli.references import parse_size

if TYPE_CHECKING:
    from pipelines.search import SearchConfig
    from pipelines.search.spaces import SpaceEntry

BUDGET_HELP = "most an inference may take, such as 0.5ms or 2mJ"


def add_run(parser: argparse.ArgumentParser) -> None:
    """Options of `search run`."""
    parser.add_argument("--budget", metavar="B", required=True, help=BUDGET_HELP)
    add_target(parser)
    place = parser.add_argument_group("what and where")
    place.add_argument(
        "--space",
        metavar="NAME",
        default="mobilenet_edgetpu_v2",
        help="mobilenet_edgetpu_v2 (default) for classification, autoseg for segmentation, spaghettinet or "
        "spaghettinet_no_gc (without GC-IBN layers) for detection, mobilebert for questions",
    )
    place.add_argument(
        "--study", metavar="DIR", help="folder to keep it in (default: studies/NAME)"
    )
    place.add_argument(
        "--storage",
        metavar="URL",
        default="",
        help="sqlite:///... or postgresql://... for the trials",
    )
    place.add_argument("--name", default="study", help="name of the study in the storage")
    place.add_argument(
        "--image-size", metavar="N", help="side of the images (default: the data's, or the space's)"
    )
    place.add_argument(
        "--num-classes", metavar="N", type=int, help="(default: the data's, or the space's)"
    )
    place.add_argument(
        "--sequence-length", metavar="N", type=int, help="word pieces read at once (default: 384)"
    )
    place.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="WordPiece vocabulary, one token a line, of a space that reads text",
    )
    place.add_argument(
        "--width", metavar="F", type=float, default=1.0, help="multiplies every width of the space"
    )
    place.add_argument(
        "--prune",
        metavar="FILE",
        default="",
        help="leave out what edgezoo blocks --prune-space FILE found useless",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--trials", metavar="N", type=int, default=100, help="(default: 100)")
    how.add_argument("--sampler", metavar="S", default="auto", help="(default: auto)")
    how.add_argument("--seed", metavar="N", type=int, default=0)
    how.add_argument("--batch", metavar="N", type=int, default=8, help="trials asked for at a time")
    how.add_argument("--workers", metavar="N", type=int, default=1, help="processes (default: 1)")
    quality = parser.add_argument_group("quality")
    quality.add_argument(
        "--quality", metavar="Q", default="train", help="train (default), predictor or proxy"
    )
    quality.add_argument("--data", metavar="SRC", help="train: data set (default: embedded)")
    quality.add_argument(
        "--recipe",
        metavar="R",
        help="train: recipe (default: search_short, search_segment_short, search_detect_short or search_text_short)",
    )
    quality.add_argument(
        "--teacher",
        metavar="REF",
        help="train: learn from this model too, a preset, weights folder or .keras file",
    )
    quality.add_argument(
        "--epochs", metavar="N", type=int, default=0, help="train: instead of the recipe's"
    )
    quality.add_argument(
        "--train-images",
        metavar="N",
        type=int,
        default=0,
        help="train: at most this many, or questions",
    )
    quality.add_argument(
        "--test-images",
        metavar="N",
        type=int,
        default=0,
        help="train: at most this many, or questions",
    )
    quality.add_argument(
        "--metric",
        metavar="M",
        default="",
        help="train: what is made large, a metric of the task or exp_loss, which tells networks apart that "
        "have hardly begun to learn (default: top1, miou, ap or f1)",
    )
    quality.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        default=6,
        help="train: trials trained again with another seed, to measure the rank correlation (default: 6)",
    )
    quality.add_argument("--proxy", metavar="P", default="log_macs", help="proxy: its name")
    quality.add_argument(
        "--source", metavar="STUDY", default="", help="study with trained trials: a predictor is fitted "
        "on it, a proxy measured on it",
    )  # fmt: skip


def _folder(args: argparse.Namespace) -> str:
    return args.study or str(Path("studies") / args.name)


def config_of(args: argparse.Namespace) -> "SearchConfig":
    """The settings of a new study; inputs and classes are the data's where quality comes from data."""
    from pipelines.search import Budget, QualityConfig, SearchConfig
    from pipelines.search.spaces import space_entry

    entry = space_entry(args.space)
    _refuse_other_kind(args, entry)
    inputs = _text_inputs(args, entry) if entry.reads_text else _image_inputs(args, entry)
    return SearchConfig(
        folder=folder_of(args),
        budget=Budget.parse(args.budget),
        space=args.space,
        target=args.target,
        **inputs,
        width=args.width,
        sampler=args.sampler,
        trials=args.trials,
        seed=args.seed,
        batch_size=args.batch,
        workers=args.workers,
        storage=args.storage,
        name=args.name,
        prune=args.prune,
        quality=QualityConfig(
            kind=args.quality,
            data=args.data or "embedded",
            recipe=args.recipe or entry.recipe,
            epochs=args.epochs,
            train_images=args.train_images,
            test_images=args.test_images,
            metric=args.metric,
            vocabulary=args.vocabulary or "",
            teacher=args.teacher or "",
            repeats=args.repeats,
            proxy=args.proxy,
            source=args.source,
        ),
    )


def _refuse_other_kind(args: argparse.Namespace, entry: "SpaceEntry") -> None:
    """Refuses what images have with a space that reads text, and the other way round."""
    reads = "text" if entry.reads_text else "images"
    others = {
        "text": {"--image-size": args.image_size, "--num-classes": args.num_classes},
        "images": {"--sequence-length": args.sequence_length, "--vocabulary": args.vocabulary},
    }[reads]
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"Space {entry.name} reads {reads}; leave {option} out")


def _text_inputs(args: argparse.Namespace, entry: "SpaceEntry") -> dict[str, Any]:
    """Length and vocabulary: as told, else those of the source study or of the published networks."""
    from pipelines.data.text import question_dataset

    found: dict[str, Any] = {}
    if args.quality == "train":
        if args.data is None or not texts.is_text(args.data):
            raise UsageError(
                f"Space {entry.name} learns from questions: give --data a SQuAD folder or JSON file. "
                f"Received: {args.data!r}"
            )
        question_dataset(args.data)  # what is wrong with it is told before there is a study
        if args.vocabulary is None:
            raise UsageError(
                f"Space {entry.name} reads text; it needs --vocabulary, the vocab.txt of one token a line"
            )
    elif args.source:
        config = _source_of(args)
        names = ("sequence_length", "vocabulary_size")
        found = {name: getattr(config, name) for name in names}
    if args.vocabulary is not None:
        from model_zoo.text import read_vocabulary

        found["vocabulary_size"] = len(read_vocabulary(args.vocabulary))
    if args.sequence_length is not None:
        found["sequence_length"] = args.sequence_length
    return found


def _image_inputs(args: argparse.Namespace, entry: "SpaceEntry") -> dict[str, Any]:
    """Side, channels and classes: as told, else as the data or the source study has them."""
    size = parse_size(args.image_size)
    if size is not None and size[0] != size[1]:
        raise UsageError(f"A space has square images. Received: {args.image_size!r}")
    side, channels, classes = entry.image_size, 3, entry.num_classes
    if args.quality == "train" or args.data:
        from pipelines.data import load_dataset

        if args.data and texts.is_text(args.data):
            entry.check_data(args.data, "answering")
        dataset = load_dataset(args.data or "embedded", image_size=size)
        entry.check_data(dataset.name, dataset.task)
        height, width, channels = dataset.image_shape
        side, classes = max(height, width), dataset.num_classes
    elif args.source:
        config = _source_of(args)
        side, channels, classes = config.image_size, config.channels, config.num_classes
    return {
        "image_size": side if size is None else size[0],
        "channels": channels,
        "num_classes": args.num_classes or classes,
    }


def _source_of(args: argparse.Namespace) -> "SearchConfig":
    from pipelines.search import open_study

    return open_study(args.source).manifest.config


def folder_of(args: argparse.Namespace) -> str:
    """Where the study is kept."""
    return args.study or str(Path("studies") / args.name)

"""Options that several verbs share, so that they are called and explained alike everywhere."""

import argparse

from pipelines.cli.references import MODEL_HELP

DEFAULT_TARGET = "pixel6"


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def add_model(parser: argparse.ArgumentParser, *, also: str = "") -> None:
    """The positional MODEL."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP + also)


def add_target(parser: argparse.ArgumentParser, *, default: str | None = DEFAULT_TARGET) -> None:
    """`--target`; the name is checked where it is used, which suggests near ones."""
    from hw_model.targets import list_targets

    shown = f" (default: {default})" if default else ""
    parser.add_argument(
        "--target",
        metavar="T",
        default=default,
        help=f"{', '.join(list_targets())} or a .toml file{shown}",
    )


def add_evaluator(parser: argparse.ArgumentParser) -> None:
    """`--evaluator`."""
    from hw_model.cost import EVALUATORS

    parser.add_argument(
        "--evaluator",
        metavar="E",
        default="analytical",
        help=f"how to cost: {', '.join(EVALUATORS)} (default: %(default)s); for a target of your own, learned "
        "reads the file named by EDGEZOO_COST_MODEL, which train-cost-model writes",
    )


def add_cost_service(parser: argparse.ArgumentParser) -> None:
    """`--cost`."""
    parser.add_argument(
        "--cost",
        metavar="URL",
        help="ask cost services (edgezoo serve) instead of computing here: grpc://host:port,host:port, or "
        "grpcs://host:port?ca=FILE for TLS; a token is taken from EDGEZOO_COST_TOKEN",
    )


def add_size(parser: argparse.ArgumentParser) -> None:
    """`--input-size` and `--num-classes`."""
    parser.add_argument(
        "--input-size",
        metavar="HxW",
        help="image size, such as 224 or 224x320 (default: the spec's)",
    )
    parser.add_argument(
        "--num-classes", metavar="N", type=int, help="number of classes (default: the spec's)"
    )


def add_text(parser: argparse.ArgumentParser) -> None:
    """`--sequence-length` and `--head`, of language networks."""
    parser.add_argument(
        "--sequence-length",
        metavar="N",
        type=int,
        help="word pieces a language network reads (default: the spec's)",
    )
    parser.add_argument(
        "--head",
        metavar="HEAD",
        help="of a language network: span, sentence, masked_lm, next_sentence or pretraining (default: the spec's)",
    )


SOURCES = (
    "digits, fashion_mnist_small, fashion_mnist, composed_scenes, composed_shapes, either also with _boxes, "
    "tfds:NAME, a folder of class folders, one with images/ and masks/, or one with images and COCO JSON files"
)


def add_output(parser: argparse.ArgumentParser) -> None:
    """`--output`."""
    parser.add_argument(
        "--output",
        metavar="FORM",
        help="for segmentation: logits, argmax, or fused_argmax_SIZE such as fused_argmax_256 "
        "(default: the model's own)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data` and what goes with it."""
    parser.add_argument("--data", metavar="SRC", required=True, help=SOURCES)
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How data is read."""
    parser.add_argument(
        "--download",
        action="store_true",
        help="allow tfds, or apt for composed_scenes, to download",
    )
    parser.add_argument(
        "--image-size",
        metavar="HxW",
        help="size that scenes are composed at, and images of a folder or of tfds are read at when they differ",
    )

"""`edgezoo diff`: what differs between two architectures or two files, one line per difference."""

import argparse

from pipelines.cli.answer import Answer
from pipelines.cli.options import add_json
from pipelines.cli.references import MODEL_HELP, graph_of, is_tflite, spec_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `diff`."""
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help=f"{MODEL_HELP}, or .tflite file")
    parser.add_argument(
        "--graph",
        action="store_true",
        help="compare operations and shapes instead of specs (.tflite files always are)",
    )
    parser.add_argument(
        "--group-form",
        choices=("split", "native"),
        default="split",
        help="how group convolutions stand in the int8 graph a .tflite file is compared with",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """The differences; a `.tflite` file is compared with the int8 graph of the other side."""
    files = [is_tflite(args.a), is_tflite(args.b)]
    if args.graph or any(files):
        from hw_model.graph import diff_graphs, to_inference

        graphs = [graph_of(reference) for reference in (args.a, args.b)]
        if any(files):
            graphs = [
                graph if is_file else to_inference(graph, group_form=args.group_form)
                for graph, is_file in zip(graphs, files, strict=True)
            ]
        lines, what = diff_graphs(graphs[0], graphs[1]), "graphs"
    else:
        from model_zoo.spec import diff

        lines, what = diff(spec_of(args.a), spec_of(args.b)), "specs"
    text = "\n".join(lines) if lines else f"The {what} are equal."
    return Answer(text=text, data={"compared": what, "equal": not lines, "lines": lines})

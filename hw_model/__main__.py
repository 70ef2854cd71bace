"""`python -m hw_model FILE.tflite --target pixel6`: what a file costs and why; needs neither Keras nor TensorFlow."""

import argparse
import json
import sys
from collections.abc import Sequence

from hw_model.errors import EdgeZooError, UsageError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from hw_model.cost import EVALUATORS
    from hw_model.targets import list_targets

    result = argparse.ArgumentParser(
        prog="python -m hw_model",
        description="Predicts latency and energy of one inference, and says what bounds each operation.",
    )
    result.add_argument("model", metavar="FILE.tflite", help="the model to cost")
    result.add_argument(
        "--target",
        default="pixel6",
        help=f"{', '.join(list_targets())}, or a path to a TOML file (default: %(default)s)",
    )
    result.add_argument(
        "--evaluator",
        default="analytical",
        metavar="NAME",
        help=f"{', '.join(EVALUATORS)} (default: %(default)s)",
    )
    result.add_argument("--json", action="store_true", help="print the whole report as JSON")
    result.add_argument("--html", metavar="OUT.html", help="also write one self-contained page")
    result.add_argument(
        "--trace",
        metavar="OUT.json",
        help="also write the simulator's timeline, for Perfetto or chrome://tracing",
    )
    result.add_argument(
        "--memory",
        action="store_true",
        help="show where activations lie on the chip, and what does not fit",
    )
    result.add_argument(
        "--memory-svg", metavar="OUT.svg", help="also write that as a picture; implies --memory"
    )
    result.add_argument("--all", action="store_true", help="show every operation, not the slowest")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        print(_run(options), end="")
    except EdgeZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
    return 0


def _run(options: argparse.Namespace) -> str:
    from hw_model.estimator import estimate
    from hw_model.io.html import write_html
    from hw_model.io.text import format_report

    if options.trace and options.evaluator != "simulator":
        raise UsageError("--trace needs --evaluator simulator: others have no timeline")
    report = estimate(options.model, target=options.target, evaluator=options.evaluator)
    if options.html:
        write_html(report, options.html)
    if options.trace:
        from hw_model.io.trace import write_trace

        write_trace(report.graph, report.target, options.trace)
    data, memory = {}, ""
    if options.memory or options.memory_svg:
        from hw_model.io.memory_map import show_memory

        memory, data["memory"] = show_memory(
            report.graph, report.target, picture=options.memory_svg
        )
    if options.json:
        return json.dumps(report.to_dict() | data, indent=2, allow_nan=False) + "\n"
    written = f"\nPage written to {options.html}\n" if options.html else ""
    written += f"\nTimeline written to {options.trace}\n" if options.trace else ""
    return format_report(report, slowest=None if options.all else 8) + written + memory


if __name__ == "__main__":
    sys.exit(main())

"""Finds the verb, runs it, prints its answer, and turns every error into one line and an exit code."""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from hw_model.errors import EdgeZooError, EnvironmentFault, UnknownNameError, UsageError
from pipelines.cli.answer import Answer
from pipelines.cli.frameworks import be_quiet

#: Verb -> what `edgezoo --help` says of it. The verb's module is imported when it is called.
VERBS: dict[str, str] = {
    "list": "models and presets, filtered by name, family and cost",
    "info": "one model or preset: blocks, parameters, multiply-adds, metrics",
    "cost": "latency and energy on a target, layer by layer, with reasons",
    "calibrate": "fit a target's open constants to your own measurements",
    "blocks": "what inverted bottlenecks cost by kind and shape, and which never pay",
    "diff": "what differs between two specs, graphs or .tflite files",
    "data": "what a data set holds, with a contact sheet of it",
    "train": "train a model by a recipe, or fine-tune a preset",
    "eval": "accuracy of a model or .tflite file on a data set",
    "predict": "what a model sees in your images",
    "answer": "a question about a text, answered by a model or .tflite file",
    "quantize": "int8 .tflite with a certificate",
    "inspect": "which layers 8 bits hurt most, and what keeping them in more bits brings and costs",
    "import": "weights that others trained, as a preset: a .tflite file or a checkpoint",
    "weights": "where presets lie, whether their files are intact, and fetching more",
    "prune": "a trained network with a share of its weights zero",
    "cluster": "a trained network with few different weights in each kernel",
    "train-cost-model": "train the learned cost model of a target on its simulator",
    "search": "search for an architecture within a latency or energy budget",
    "serve": "a cost service for searches on this and other machines",
    "report": "one HTML page about a study or a model",
    "doctor": "what this machine has and lacks",
}
#: Verbs whose module is not called as they are.
_MODULES = {"answer": "ask", "import": "import_model", "inspect": "inspect_model"}
INTERRUPTED = 130
#: Extra of setup.cfg -> top-level modules it brings, to name the remedy when one is missing.
_EXTRAS = {
    "search": ("optuna", "sqlalchemy"),
    "postgresql": ("psycopg",),
    "service": ("grpc", "google", "grpc_health", "grpc_reflection", "prometheus_client"),
    "export": ("ai_edge_litert",),
    "mixed": ("ai_edge_quantizer",),
    "tfmot": ("tensorflow_model_optimization", "tf_keras"),
    "train": ("keras", "tensorflow", "tensorflow_datasets", "PIL", "h5py", "tensorboard"),
}


class Verb(Protocol):
    """What the module of a verb offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares the verb's options; imports nothing heavy."""

    def run(self, args: argparse.Namespace) -> Answer:
        """Does the work."""


class Parser(argparse.ArgumentParser):
    """A parser that raises where argparse would print its usage and leave."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The innermost parser that took part wins: an error can then name the help that lists its options.
        self.set_defaults(prog=self.prog)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, 2 (usage), 3 (data), 4 (environment) or 130 (interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb: Verb | None = None
    # The words as typed: what a run was started with is recorded, and said again to resume it.
    args = argparse.Namespace(words=tuple(words))
    try:
        parser, verb = _parser_for(words)
        _, unknown = parser.parse_known_args(words, namespace=args)
        if unknown:
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)}; see {args.prog} --help")
        if verb is None:
            parser.print_help()
            return 0
        return _answer(verb, args)
    except EdgeZooError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        hint = getattr(verb, "resume_hint", lambda _: "")(args)
        return _complain(f"interrupted{'; ' if hint else ''}{hint}", INTERRUPTED)
    except ModuleNotFoundError as error:
        return _missing(error)
    except BrokenPipeError:
        # The reader (`| head`) has gone; what Python would flush at exit has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A folder that cannot be made, a full disk met by a library: the machine's, not a mistake in here.
        return _complain(f"{error.filename or 'input or output'}: {error.strerror or error}", 4)


def _parser_for(words: Sequence[str]) -> tuple[Parser, Verb | None]:
    """The parser with the options of the verb that was called, and only of that one."""
    name = next((word for word in words if not word.startswith("-")), None)
    parser = Parser(
        prog="edgezoo",
        description="Models for Edge-TPU-class accelerators: what they cost, training, int8 export and search.",
        epilog="`edgezoo VERB --help` shows a verb's options. Exit codes: 0 done, 2 wrong usage, "
        "3 wrong data, 4 something missing on this machine, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"edgezoo {_version(words)}")
    subparsers = parser.add_subparsers(metavar="VERB", title="verbs", parser_class=Parser)
    verb: Verb | None = None
    for known, summary in VERBS.items():
        sub = subparsers.add_parser(known, help=summary, description=_sentence(summary))
        if known == name:
            file = _MODULES.get(known, known.replace("-", "_"))
            module: Any = importlib.import_module(f"pipelines.cli.{file}")
            verb = module
            module.add_arguments(sub)
    if name is not None and verb is None:
        raise UnknownNameError("verb", name, VERBS)
    return parser, verb


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _version(words: Sequence[str]) -> str:
    if "--version" not in words:
        return ""
    from importlib import metadata

    try:
        return metadata.version("edgezoo")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _answer(verb: Verb, args: argparse.Namespace) -> int:
    """Runs the verb; its answer is the only thing on standard output, whatever libraries print."""
    be_quiet()
    wants_json = getattr(args, "json", False)
    with contextlib.redirect_stdout(sys.stderr):
        answer = verb.run(args)
    print(answer.as_json() if wants_json else answer.text, flush=True)
    return answer.code


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"edgezoo: error: {line}", file=sys.stderr, flush=True)
    return code


def _missing(error: ModuleNotFoundError) -> int:
    """A package that an extra brings is the machine's lack; any other missing module is our mistake."""
    top = (error.name or "").partition(".")[0]
    extra = next((name for name, modules in _EXTRAS.items() if top in modules), None)
    if extra is None:
        raise error
    message = (
        f"This needs the package {top}, which is not installed; run: pip install 'edgezoo[{extra}]'"
    )
    return _complain(message, EnvironmentFault.exit_code)

"""`edgezoo answer`: a question about a text, answered by a model or `.tflite` file with a part of the text."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, UsageError
from pipelines.cli import texts
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import add_json, add_model
from pipelines.cli.references import is_tflite, load

if TYPE_CHECKING:
    from model_zoo import text
    from pipelines.questions import Answerer

STANDARD_INPUT = "-"
#: Words that a warning names.
_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `answer`."""
    add_model(parser, also=", or .tflite file")
    parser.add_argument("--question", metavar="Q", required=True, help="what is asked")
    parser.add_argument(
        "--context",
        metavar="FILE",
        required=True,
        help=f"UTF-8 text of any length that holds the answer; {STANDARD_INPUT} reads standard input",
    )
    parser.add_argument(
        "--top", metavar="N", type=int, default=1, help="most answers to give (default: 1)"
    )
    parser.add_argument(
        "--like", metavar="PRESET", help="read text for a .tflite file as this preset does"
    )
    texts.add_vocabulary(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """The best answers, the best first."""
    if args.top < 1:
        raise UsageError(f"--top must be at least 1. Received: {args.top}")
    if not args.question.strip():
        raise DataError("The question is empty; ask something with --question")
    context = _context(args.context)
    answerer = _answerer(args)
    found = answerer.answers(args.question, context, most=args.top, progress=sys.stderr.isatty())
    if not found:
        raise DataError("The model finds no answer in the context: it has no words to answer with")
    unknown = _warn_of_unknown(answerer, args.question, context)
    rows = [_row(answer, context) for answer in found]
    windows = answerer.windows(args.question, context)
    data = {
        "model": args.model,
        "question": args.question,
        "answers": rows,
        "windows": windows,
        "unknown_words": unknown,
    }
    return Answer(text=_text(rows, windows), data=data)


def _text(rows: list[dict[str, Any]], windows: int) -> str:
    if len(rows) > 1:
        shown = [(_line(row), f"{row['score']:.2f}", _place(row)) for row in rows]
        return table(("answer", "score", "position"), shown)
    (row,) = rows
    return facts(
        [
            ("answer", _line(row)),
            ("score", f"{row['score']:.2f}"),
            ("position", f"{_place(row)}, in a text of {windows} window{'s' * (windows > 1)}"),
        ]
    )


def _line(row: dict[str, Any]) -> str:
    """An answer that may run over a line's end, on one line."""
    return " ".join(row["text"].split())


def _place(row: dict[str, Any]) -> str:
    return f"line {row['line']}, characters {row['start']} to {row['end']}"


def _row(answer: "text.Answer", context: str) -> dict[str, Any]:
    return {
        "text": answer.text,
        "score": answer.score,
        "probability": answer.probability,
        "start": answer.start,
        "end": answer.end,
        "line": context.count("\n", 0, answer.start) + 1,
    }


def _context(reference: str) -> str:
    """The text of a file, or of standard input.

    Raises:
        DataError: missing, not text, or empty.
    """
    name = "Standard input" if reference == STANDARD_INPUT else reference
    try:
        piped = reference == STANDARD_INPUT
        content = sys.stdin.buffer.read() if piped else Path(reference).read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text; convert it first") from error
    except OSError as error:
        raise DataError(f"Cannot read the context {name}: {error.strerror or error}") from error
    if not text.strip():
        raise DataError(f"The context is empty: {name} has no words")
    return text


def _answerer(args: argparse.Namespace) -> "Answerer":
    from pipelines.questions import answerer_of, answerer_of_file

    if is_tflite(args.model):
        known, length = texts.of_file(args.model, args.like)
        return answerer_of_file(args.model, texts.questions(known, length, args.vocabulary))
    model = load(args.model)
    if model.spec.task != "answering":
        raise UsageError(f"{args.model} answers no questions: it is for {model.spec.task}")
    known, length = texts.of_model(args.model, model)
    return answerer_of(model, texts.questions(known, length, args.vocabulary), name=args.model)


def _warn_of_unknown(answerer: "Answerer", question: str, context: str) -> list[str]:
    """Words that the model cannot read, which a line on standard error names."""
    from pipelines.questions import unknown_words

    words = answerer.preprocessing.vocabulary
    found = [word for text in (question, context) for word in unknown_words(words, text)[0]]
    named = list(dict.fromkeys(found))
    if named:
        more = ", ..." if len(named) > _NAMED else ""
        shown = ", ".join(repr(word[:20]) for word in named[:_NAMED])
        print(
            f"edgezoo: the model cannot read {len(found)} of the words: {shown}{more}",
            file=sys.stderr,
        )
    return named

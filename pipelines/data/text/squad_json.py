"""Reads questions in the JSON of SQuAD v1.1: articles, paragraphs, questions, answers with their places."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from hw_model.errors import DataError
from pipelines.data.text.questions import QuestionExample, check_examples, find_answer

T = TypeVar("T")


def read_squad_json(path: str | Path) -> tuple[QuestionExample, ...]:
    """All questions of a file, in its order.

    Raises:
        DataError: missing, not JSON, or not of this form; the message says where in the file.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, or is damaged: {error}.") from error
    try:
        examples = tuple(_examples(content))
    except DataError as error:
        raise DataError(f"{path} is not a SQuAD v1.1 file: {error}.") from error
    check_examples(examples, str(path))
    return examples


def _examples(content: Any) -> Iterator[QuestionExample]:
    number = 0
    for where, article in _items(content, "data", ""):
        title = article.get("title", "")
        for place, paragraph in _items(article, "paragraphs", where):
            context = _field(paragraph, "context", str, place)
            for spot, question in _items(paragraph, "qas", place):
                answers = tuple(
                    find_answer(
                        context,
                        _field(answer, "text", str, at),
                        _field(answer, "answer_start", int, at),
                    )
                    for at, answer in _items(question, "answers", spot)
                )
                yield QuestionExample(
                    key=_field(question, "id", str, spot),
                    question=_field(question, "question", str, spot),
                    context=context,
                    answers=answers,
                    paragraph=number,
                    article=title if isinstance(title, str) else "",
                )
            number += 1


def _items(parent: Any, name: str, where: str) -> Iterator[tuple[str, Any]]:
    """The objects of a list with their path."""
    for index, item in enumerate(_field(parent, name, list, where)):
        path = f"{where}{'.' if where else ''}{name}[{index}]"
        if not isinstance(item, dict):
            raise DataError(f"{path} is not an object")
        yield path, item


def _field(parent: Any, name: str, kind: type[T], where: str) -> T:
    value = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        path = f"{where}{'.' if where else ''}{name}"
        raise DataError(f"{path} is missing or no {kind.__name__}. Received: {value!r:.60}")
    return value

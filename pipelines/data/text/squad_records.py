"""Reads SQuAD questions from TFRecords of BERT features and of ground truth, as benchmarks of phones use them.

The records hold words and tokens, not the texts: a context is its words with single spaces between them, and
a question is put together from its lower-case tokens.
"""

from collections.abc import Iterator
from pathlib import Path

from hw_model.errors import DataError
from pipelines.data.text.questions import QuestionExample, check_examples, find_answer
from pipelines.data.text.tfrecord import Feature, read_examples

FEATURES_FILE, TRUTH_FILE = "squad_eval.tfrecord", "squad_groundtruth.tfrecord"

# Stands for what the tokens of a question no longer tell; tokens of no vocabulary have it.
_LOST = "\N{SNOWMAN}"


def is_squad_records(folder: Path) -> bool:
    """Whether `folder` holds both files."""
    return (folder / FEATURES_FILE).is_file() and (folder / TRUTH_FILE).is_file()


def read_squad_records(folder: str | Path) -> tuple[QuestionExample, ...]:
    """All questions, in the order of the ground truth.

    Raises:
        DataError: a file is missing, damaged, lacks a feature, or a question's tokens.
    """
    place = Path(folder)
    questions = _questions(place / FEATURES_FILE)
    examples: list[QuestionExample] = []
    before, number = "", -1
    for record in _progress(read_examples(place / TRUTH_FILE), "questions"):
        key = _one(record, "qas_id", place / TRUTH_FILE)
        context = " ".join(_feature(record, "words", place / TRUTH_FILE).texts())
        if key not in questions:
            raise DataError(f"{place / FEATURES_FILE} has no features of question {key!r}.")
        if context != before:
            before, number = context, number + 1
        answers = _feature(record, "answers", place / TRUTH_FILE).texts()
        examples.append(
            QuestionExample(
                key=key,
                question=questions[key],
                context=before,
                answers=tuple(find_answer(before, text) for text in answers),
                paragraph=number,
            )
        )
    check_examples(examples, str(place / TRUTH_FILE))
    return tuple(examples)


def _questions(path: Path) -> dict[str, str]:
    """The question of each id: the tokens between [CLS] and the first [SEP]."""
    found: dict[str, str] = {}
    for record in _progress(read_examples(path), "features"):
        key = _one(record, "qas_id", path)
        if key not in found:
            tokens = _feature(record, "tokens", path).texts()
            if "[SEP]" not in tokens:
                raise DataError(f"{path}: the tokens of question {key!r} have no [SEP].")
            found[key] = joined(tokens[1 : tokens.index("[SEP]")])
    return found


def joined(tokens: list[str]) -> str:
    """Text that has these tokens.

    >>> joined(["who", "sang", "wal", "##trud", "?"])
    'who sang waltrud ?'
    """
    words = [_LOST if token == "[UNK]" else token for token in tokens]
    return " ".join(words).replace(" ##", "")


def _feature(record: dict[str, Feature], name: str, path: Path) -> Feature:
    if name not in record:
        raise DataError(f"{path}: a record has no {name!r}. Received: {', '.join(sorted(record))}")
    return record[name]


def _one(record: dict[str, Feature], name: str, path: Path) -> str:
    texts = _feature(record, name, path).texts()
    if len(texts) != 1:
        raise DataError(f"{path}: {name!r} is one text a record. Received: {len(texts)}")
    return texts[0]


def _progress(records: Iterator[dict[str, Feature]], name: str) -> Iterator[dict[str, Feature]]:
    from tqdm import tqdm

    bar: Iterator[dict[str, Feature]] = iter(
        tqdm(records, desc=name, unit="record", delay=2, disable=None)
    )
    return bar

"""Finds questions or running text by name: a file, a folder, or a data set of TensorFlow Datasets."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hw_model.errors import DataError, UnknownNameError
from pipelines.data.text.corpus import Corpus, read_corpus
from pipelines.data.text.questions import (
    QuestionDataset,
    QuestionExample,
    check_examples,
    find_answer,
    split_by_paragraph,
)
from pipelines.data.text.squad_json import read_squad_json
from pipelines.data.text.squad_records import FEATURES_FILE, is_squad_records, read_squad_records
from pipelines.data.tfds_source import (
    folder_builder,
    import_tfds,
    is_tfds_folder,
    prepared_builder,
)

#: The files SQuAD v1.1 is published as.
TRAIN_FILE, DEV_FILE = "train-v1.1.json", "dev-v1.1.json"
_LICENCE = "CC BY-SA 4.0"
_TFDS_PREFIX = "tfds:"


def load_questions(source: str | os.PathLike[str], *, download: bool = False) -> QuestionDataset:
    """Questions by name, file or folder.

    `source` is a JSON file of SQuAD v1.1; a folder that holds `train-v1.1.json`, `dev-v1.1.json` or both; a
    folder with `squad_eval.tfrecord` and `squad_groundtruth.tfrecord`; or a tfds data set of the same
    features such as `tfds:squad/v1.1`, also as its version folder. Where there is one split only, the first
    80 % of its paragraphs train and the others test. Nothing is downloaded unless `download` says so.

    Raises:
        UnknownNameError: neither a file, a folder nor a tfds name.
        DataError: the data is missing, damaged or empty.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if name.startswith(_TFDS_PREFIX) or is_tfds_folder(path):
        builder = _builder(name, path, download=download)
        return _dataset(builder.name, _tfds_splits(builder), str(builder.data_dir))
    if path.is_file():
        return _dataset(path.stem, [read_squad_json(path)], name)
    if is_squad_records(path):
        return _dataset("squad/v1.1 dev", [read_squad_records(path)], name)
    if path.is_dir():
        files = [path / file for file in (TRAIN_FILE, DEV_FILE) if (path / file).is_file()]
        if not files:
            raise DataError(
                f"{name} holds none of {TRAIN_FILE}, {DEV_FILE}, and not {FEATURES_FILE} with its "
                "ground truth; give a folder with one of them, or a JSON file"
            )
        return _dataset("squad/v1.1", [read_squad_json(file) for file in files], name)
    if path.name != name or path.suffix:
        raise DataError(f"There is no file or folder {name}.")
    raise UnknownNameError("question data set", name, ["tfds:squad/v1.1"])


def is_questions(source: str | os.PathLike[str]) -> bool:
    """Whether a source is one `load_questions` takes, by its name and the files that are there."""
    name = os.fspath(source)
    path = Path(name).expanduser()
    if name.startswith(_TFDS_PREFIX) or is_tfds_folder(path):
        return "squad" in name
    return (
        path.suffix == ".json"
        or is_squad_records(path)
        or any((path / file).is_file() for file in (TRAIN_FILE, DEV_FILE))
    )


def load_corpus(source: str | os.PathLike[str], *, download: bool = False) -> Corpus:
    """Running text from a file, all text files below a folder, or the text of a tfds data set (`tfds:NAME`).

    Raises:
        DataError: the text is missing, or nothing of it is prose.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if not name.startswith(_TFDS_PREFIX) and not is_tfds_folder(path):
        return read_corpus(path)
    builder = _builder(name, path, download=download)
    key = _text_key(builder)
    texts = (str(example[key], "utf-8") for example in _read(builder, "train"))
    documents = (tuple(filter(None, map(str.strip, text.split("\n")))) for text in texts)
    return Corpus(name=builder.name, documents=tuple(filter(None, documents)))


def _builder(name: str, path: Path, *, download: bool) -> Any:
    tfds = import_tfds()
    if name.startswith(_TFDS_PREFIX):
        return prepared_builder(tfds, name.removeprefix(_TFDS_PREFIX), download=download)
    return folder_builder(tfds, path)


def _dataset(
    name: str, parts: Sequence[tuple[QuestionExample, ...]], source: str
) -> QuestionDataset:
    """A train and a test split of two parts, or of one that is split."""
    train, test = parts if len(parts) == 2 else split_by_paragraph(parts[0])
    return QuestionDataset(
        name=name, splits={"train": train, "test": test}, source=source, licence=_LICENCE
    )


def _tfds_splits(builder: Any) -> list[tuple[QuestionExample, ...]]:
    wanted = {"id", "question", "context", "answers"}
    if not wanted <= set(builder.info.features):
        raise DataError(
            f"tfds data set {builder.name!r} has no questions: features {sorted(wanted)} are needed. "
            f"Received: {sorted(builder.info.features)}"
        )
    names = [name for name in ("train", "validation", "test") if name in builder.info.splits]
    return [tuple(_tfds_examples(builder, name)) for name in names[:2]]


def _tfds_examples(builder: Any, split: str) -> Iterator[QuestionExample]:
    """Examples with their paragraphs in order: a builder may have shuffled them."""
    examples: list[QuestionExample] = []
    numbers: dict[str, int] = {}
    for record in sorted(_read(builder, split), key=lambda r: (r.get("title", b""), r["context"])):
        context = str(record["context"], "utf-8")
        answers = record["answers"]
        places = zip(answers["text"], answers["answer_start"], strict=True)
        examples.append(
            QuestionExample(
                key=str(record["id"], "utf-8"),
                question=str(record["question"], "utf-8"),
                context=context,
                answers=tuple(find_answer(context, str(t, "utf-8"), int(s)) for t, s in places),
                paragraph=numbers.setdefault(context, len(numbers)),
                article=str(record.get("title", b""), "utf-8"),
            )
        )
    check_examples(examples, f"{builder.data_dir} {split}")
    yield from examples


def _text_key(builder: Any) -> str:
    """The feature called `text`, else the only one that is text."""
    tfds = import_tfds()
    features = builder.info.features
    texts = [key for key, kind in features.items() if isinstance(kind, tfds.features.Text)]
    if "text" in texts:
        return "text"
    if len(texts) == 1:
        return texts[0]
    raise DataError(f"tfds data set {builder.name!r} has no one text feature. Received: {texts}")


def _read(builder: Any, split: str) -> Iterator[dict[str, Any]]:
    """The examples of a split as NumPy values."""
    from tqdm import tqdm

    tfds = import_tfds()
    if split not in builder.info.splits:
        held = ", ".join(builder.info.splits)
        raise DataError(f"tfds data set {builder.name!r} has no {split} split. Received: {held}")
    formats = {item.value for item in builder.info.available_file_formats()}
    if "array_record" in formats:
        source = builder.as_data_source(split=split)
    else:
        source = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False))
    total = builder.info.splits[split].num_examples
    label = f"{builder.name}/{split}"
    yield from tqdm(source, desc=label, total=total, unit="example", delay=2, disable=None)

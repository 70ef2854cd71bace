"""Measures text before and after a network on SQuAD's dev set: features a second, and scores of perfect logits.

`--data` is a folder or file of SQuAD v1.1 as `load_questions` takes it, `--vocabulary` the vocab.txt of
bert-base-uncased. Writes results/text_features.json.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save

from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary, read_vocabulary
from pipelines.data.text import QuestionExample, TrainingWindows, load_questions, training_windows
from pipelines.data.text.squad_records import FEATURES_FILE
from pipelines.data.text.tfrecord import read_examples
from pipelines.tasks.squad_metrics import question_scores

LENGTHS = (384, 192)


def published_ids(folder: Path) -> np.ndarray | None:
    """The published features (N, 384), where the source is the TFRecords that hold them."""
    path = folder / FEATURES_FILE
    if not path.is_file():
        return None
    return np.array([record["input_ids"].integers() for record in read_examples(path)])


def perfect_answers(
    prepared: QuestionPreprocessor, examples: Sequence[QuestionExample], training: TrainingWindows
) -> dict[str, str]:
    """What a network answers that knows the positions of the answers."""
    length = prepared.settings.sequence_length
    rows_of: dict[int, list[int]] = {}
    for row, window in enumerate(training.windows):
        rows_of.setdefault(window.example, []).append(row)
    answers = {}
    for number, rows in rows_of.items():
        logits = np.zeros((2, len(rows), length))
        logits[0, np.arange(len(rows)), training.starts[rows]] = 9
        logits[1, np.arange(len(rows)), training.ends[rows]] = 9
        windows = [training.windows[row] for row in rows]
        example = examples[number]
        answers[example.key] = prepared.answers(example.context, windows, *logits)[0].text
    return answers


def measure(
    vocabulary: Vocabulary, examples: Sequence[QuestionExample], length: int, runs: int
) -> tuple[dict[str, Any], np.ndarray]:
    """A row of the table, and the token ids of all windows."""
    prepared = QuestionPreprocessor(
        vocabulary=vocabulary, settings=QuestionSettings(sequence_length=length)
    )
    pairs = [(example.question, example.context) for example in examples]
    prepared.windows(pairs[:1])
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        inputs = prepared.inputs(prepared.windows(pairs))
        seconds.append(time.perf_counter() - start)
    training = training_windows(prepared, examples)
    start = time.perf_counter()
    answers = perfect_answers(prepared, examples, training)
    answered = time.perf_counter() - start
    scores = question_scores(answers, [(example.key, example.texts) for example in examples])
    count = len(inputs["word_ids"])
    row = {
        "length": length,
        "features": count,
        "features_per_s": round(count / min(seconds)),
        "answers_per_s": round(len(examples) / answered),
        "exact_match": round(100 * scores["exact_match"], 2),
        "f1": round(100 * scores["f1"], 2),
        "dropped": training.dropped,
    }
    return row, inputs["word_ids"]


def main() -> None:
    """Measures every length and compares the features with the published ones where the source has them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3, help="the fastest counts")
    options = parser.parse_args()
    vocabulary, data = read_vocabulary(options.vocabulary), load_questions(options.data)
    examples = [*data.train, *data.test]
    gold = {example.key: example.texts[0] for example in examples}
    scores = question_scores(gold, [(example.key, example.texts) for example in examples])
    notes = [
        f"{len(examples)} questions, {len(data.test)} of them in the last fifth of the paragraphs; "
        f"the first answer of each scores EM {100 * scores['exact_match']:g}, F1 {100 * scores['f1']:g}.",
        "Perfect logits miss answers of more than 30 tokens, which the published rule leaves out.",
    ]
    rows = []
    published = published_ids(options.data)
    for length in LENGTHS:
        row, ids = measure(vocabulary, examples, length, options.runs)
        rows.append(row)
        print(row)
        if published is not None and ids.shape == published.shape:
            same = int((ids == published).all(axis=1).sum())
            notes.append(f"{same} of {len(published)} published features have the same tokens.")
    notes.append(f"Load of the machine when done: {os.getloadavg()[0]:.1f}.")
    print("\n".join(notes))
    save(
        "text_features",
        command="python benchmarks/text_features.py --data SQUAD_FOLDER --vocabulary vocab.txt",
        columns=[
            Column(key="length", heading="Length, tokens"),
            Column(key="features", heading="Features", format=","),
            Column(key="features_per_s", heading="Features/s", format=","),
            Column(key="answers_per_s", heading="Answers/s", format=","),
            Column(key="exact_match", heading="EM of perfect logits", format=".2f"),
            Column(key="f1", heading="F1 of perfect logits", format=".2f"),
            Column(key="dropped", heading="Answers not in their text"),
        ],
        rows=rows,
        notes=notes,
    )


if __name__ == "__main__":
    main()

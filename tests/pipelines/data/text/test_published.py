"""The published SQuAD v1.1 dev set, where it lies beside the checkout: our features are the published ones."""

from pathlib import Path

import numpy as np
import pytest

from model_zoo.text import QuestionPreprocessor, Vocabulary
from pipelines.data.text import load_questions
from pipelines.data.text.squad_records import FEATURES_FILE
from pipelines.data.text.tfrecord import read_examples
from pipelines.tasks.squad_metrics import question_scores

#: Size of the published vocabulary. Source: bert-base-uncased.
ROWS = 30522


@pytest.mark.slow
def test_features_and_scores_of_the_published_files(shared_dir: Path) -> None:
    pytest.importorskip("tokenizers")
    folder = shared_dir / "data" / "squad"
    if not (folder / FEATURES_FILE).is_file():
        pytest.skip(f"no {FEATURES_FILE} on this machine")
    data = load_questions(folder)
    examples = [*data.train, *data.test]
    assert (len(examples), len(data.test), examples[-1].paragraph + 1) == (10_570, 1_955, 2_067)
    truths = [(example.key, example.texts) for example in examples]
    assert question_scores({key: texts[0] for key, texts in truths}, truths) == {
        "exact_match": 1.0, "f1": 1.0,
    }  # fmt: skip

    # The records name the tokens of all ids they use: greedy matching needs no others.
    names = [f"[unused{row}]" for row in range(ROWS)]
    rows, keys, best = [], [], []
    for record in read_examples(folder / FEATURES_FILE):
        ids = record["input_ids"].integers()
        for row, name in zip(ids, record["tokens"].texts(), strict=False):
            names[row] = name
        rows.append(ids)
        keys.append(record["qas_id"].texts()[0])
        best.append(record["token_is_max_context"].integers())
    names[0] = "[PAD]"
    prepared = QuestionPreprocessor(vocabulary=Vocabulary(tokens=tuple(names)))
    windows = prepared.windows([(example.question, example.context) for example in examples])
    ours = prepared.inputs(windows)["word_ids"]
    assert len(ours) == len(rows) == 10_833
    # The two files order their questions alike.
    assert [examples[window.example].key for window in windows] == keys
    assert (ours == np.array(rows)).all()
    assert [window.best.tolist() for window in windows] == best

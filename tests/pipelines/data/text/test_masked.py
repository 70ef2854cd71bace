"""Running text: what a corpus keeps, and masked examples that are the same for the same seed, epoch and index."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, SpecError
from model_zoo.text import Vocabulary
from pipelines.data.text import Corpus, MaskedExamples, MaskingSettings, load_corpus

GLOSSES = """  1 This line of a licence | is no gloss
00000001 03 n 01 oven 0 000 | a box in which bread is baked; "the oven is hot"
00000002 03 n 01 wick 0 000 | what burns in a lamp
00000003 05 n 01 fox 0 000 | a red animal | with a bar
"""
PROSE = """Title

The keeper climbed
   the steps every evening.

+----+-----+ 12 34 | 56 |

He wrote the weather into a blue book.
"""


def test_glosses_and_prose(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "data.noun").write_text(GLOSSES)
    (tmp_path / "a" / "b.txt.gz").write_bytes(gzip.compress(PROSE.encode()))
    (tmp_path / "c.md").write_bytes(PROSE.replace("blue", "blu\xe9").encode("latin-1"))
    (tmp_path / "d.html").write_text(PROSE)
    corpus = load_corpus(tmp_path)
    steps = "The keeper climbed the steps every evening."
    assert corpus.documents == (
        (steps, "He wrote the weather into a blue book."),
        (steps, "He wrote the weather into a blu\ufffd book."),
        ('a box in which bread is baked; "the oven is hot"', "what burns in a lamp"),
        ("a red animal | with a bar",),
    )
    assert load_corpus(tmp_path / "data.noun").documents == corpus.documents[2:]


def test_what_holds_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no text"):
        load_corpus(tmp_path)
    (tmp_path / "a.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match="has no text"):
        load_corpus(tmp_path)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(PROSE.encode())[:40])
    with pytest.raises(DataError, match="Cannot read"):
        load_corpus(tmp_path / "a.txt.gz")


def test_text_of_tfds(tmp_path: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyTexts(tfds.core.GeneratorBasedBuilder):
        """Two articles."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "n": np.int64})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, _: Any) -> dict[str, Any]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for number, text in enumerate(["One line.\n\nAnother.", "Rye loaves."]):
                yield number, {"text": text, "n": number}

    builder = TinyTexts(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    documents = load_corpus(builder.data_dir).documents
    assert set(documents) == {("One line.", "Another."), ("Rye loaves.",)}


@pytest.fixture
def corpus() -> Corpus:
    """Two documents whose words tell where they come from."""
    return Corpus(
        name="two",
        documents=(
            tuple(f"oven oven oven oven {i} a b c d e f" for i in range(40)),
            tuple(f"lamp lamp lamp lamp {i} g h i j k l" for i in range(40)),
        ),
    )


def examples(
    corpus: Corpus, vocabulary: Vocabulary, seed: int = 0, **settings: Any
) -> MaskedExamples:
    """Masked examples of 64 tokens."""
    chosen = MaskingSettings(**{"sequence_length": 64, **settings})
    return MaskedExamples(corpus, vocabulary, chosen, seed=seed)


def restored(batch: dict[str, np.ndarray]) -> np.ndarray:
    """The tokens before any was masked."""
    words = batch["word_ids"].copy()
    rows, columns = np.nonzero(batch["masked_weights"])
    words[rows, batch["masked_positions"][rows, columns]] = batch["masked_ids"][rows, columns]
    return words


def test_depends_on_seed_epoch_and_index_alone(corpus: Corpus, vocabulary: Vocabulary) -> None:
    made = examples(corpus, vocabulary)
    whole = made.batch(range(len(made)))
    again = examples(corpus, vocabulary).batch([3, 1])
    for name, values in again.items():
        assert (values == whole[name][[3, 1]]).all()
    for other in (
        made.batch(range(len(made)), epoch=1),
        examples(corpus, vocabulary, seed=1).batch(range(len(made))),
    ):
        assert (other["masked_positions"] != whole["masked_positions"]).any()
    with pytest.raises(IndexError):
        made.example(len(made))


def test_layout_and_shares(corpus: Corpus, vocabulary: Vocabulary) -> None:
    made = examples(corpus, vocabulary)
    epochs = [made.batch(range(len(made)), epoch=epoch) for epoch in range(40)]
    batch = {name: np.concatenate([e[name] for e in epochs]) for name in epochs[0]}
    whole, ids = restored(batch), vocabulary.ids
    assert (whole[:, 0] == ids["[CLS]"]).all()
    assert ((whole == ids["[SEP]"]).sum(axis=1) == 2).all()
    assert ((whole != ids["[PAD]"]) == batch["mask"]).all()
    assert (np.diff(batch["type_ids"] * batch["mask"])[:, :-1].max(axis=1) == 1).all()
    # Special tokens are never predicted, and a position is predicted once.
    rows, columns = np.nonzero(batch["masked_weights"])
    truth = batch["masked_ids"][rows, columns]
    assert not set(truth.tolist()) & {ids[t] for t in ("[CLS]", "[SEP]", "[PAD]", "[MASK]")}
    for positions, weights in zip(batch["masked_positions"], batch["masked_weights"], strict=True):
        chosen = positions[weights == 1]
        assert len(set(chosen.tolist())) == len(chosen)
    predicted = batch["masked_weights"].sum(axis=1) / (batch["mask"].sum(axis=1) - 3)
    assert predicted.mean() == pytest.approx(0.15, abs=0.01)
    seen = batch["word_ids"][rows, batch["masked_positions"][rows, columns]]
    masked, kept = seen == ids["[MASK]"], seen == truth
    # Six standard errors of a share of some thousand draws.
    assert len(seen) > 3000
    assert masked.mean() == pytest.approx(0.8, abs=0.04)
    assert kept.mean() == pytest.approx(0.1, abs=0.04)
    assert ids["[unused0]"] not in seen


def test_half_of_the_pairs_follow_and_the_others_come_from_elsewhere(
    corpus: Corpus, vocabulary: Vocabulary
) -> None:
    made = examples(corpus, vocabulary)
    follows = []
    for epoch in range(20):
        batch = made.batch(range(len(made)), epoch=epoch)
        words = restored(batch)
        for row in range(len(words)):
            origin = []
            for kind in (0, 1):
                inside = (batch["type_ids"][row] == kind) & (batch["mask"][row] == 1)
                text = "".join(vocabulary.tokens[i] for i in words[row][inside]).replace("##", "")
                origin.append("oven" in text)
                assert ("oven" in text) != ("lamp" in text)
            assert (origin[0] == origin[1]) == bool(batch["next_sentence"][row])
        follows.extend(batch["next_sentence"].tolist())
    assert len(follows) > 200
    assert np.mean(follows) == pytest.approx(0.5, abs=0.15)


def test_without_pairs_there_is_one_text(corpus: Corpus, vocabulary: Vocabulary) -> None:
    batch = examples(corpus, vocabulary, pairs=False).batch([0, 1])
    assert ((batch["word_ids"] == vocabulary.ids["[SEP]"]).sum(axis=1) == 1).all()
    assert not batch["type_ids"].any()


def test_no_token_of_the_corpus_is_lost(vocabulary: Vocabulary) -> None:
    long = Corpus(name="long", documents=(("a b c d e f g h " * 30, "i j", "k"),))
    made = examples(long, vocabulary, pairs=False, sequence_length=16, max_predictions=4)
    assert len(made) == 18
    batch = made.batch(range(18))
    words = restored(batch)
    letters = [vocabulary.tokens[i] for i in words[words >= 6]]
    assert "".join(letters) == "abcdefgh" * 30 + "ijk"


def test_one_short_paragraph_is_enough(vocabulary: Vocabulary) -> None:
    made = examples(Corpus(name="tiny", documents=(("a",),)), vocabulary)
    assert len(made) == 1
    assert made.example(0)["masked_weights"].sum() == 1


def test_what_cannot_be_masked_is_refused(corpus: Corpus, vocabulary: Vocabulary) -> None:
    without = Vocabulary(tokens=tuple(t for t in vocabulary.tokens if t != "[MASK]"))
    with pytest.raises(DataError, match=r"needs \[MASK\]"):
        examples(corpus, without)
    with pytest.raises(DataError, match="no words the vocabulary can read"):
        examples(Corpus(name="blank", documents=(("\x00",),)), vocabulary)
    with pytest.raises(SpecError, match="^masked_share"):
        MaskingSettings(masked_share=1.5)
    with pytest.raises(SpecError, match="^random_token_share"):
        MaskingSettings(mask_token_share=0.8, random_token_share=0.3)
    with pytest.raises(SpecError, match="^max_predictions"):
        MaskingSettings(sequence_length=16, max_predictions=17)

"""Questions: tokens point back to characters, windows cover long texts, logits become the answer's own words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import DataError, SpecError, UsageError
from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary, Window, tokenize

CONTEXT = "In winter the RED Fox was crossing the river. Who saw the fox? The café was closed."


def preprocessor(vocabulary: Vocabulary, **settings: int) -> QuestionPreprocessor:
    """A preprocessor of short windows."""
    chosen = {"sequence_length": 24, "doc_stride": 6, "max_query_length": 8, **settings}
    return QuestionPreprocessor(vocabulary=vocabulary, settings=QuestionSettings(**chosen))


def oracle(
    windows: list[Window], start: int, end: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a network that knows where the answer is."""
    logits = np.zeros((2, len(windows), length))
    for row, window in enumerate(windows):
        first, last = window.locate(start, end)
        logits[0, row, first] = logits[1, row, last] = 9.0
    return logits[0], logits[1]


def test_offsets_are_those_of_the_untouched_text(vocabulary: Vocabulary) -> None:
    text = "The  CAFÉ\x00 \u202fcrossing cafe\u0301 ☃fox"
    tokens = tokenize(vocabulary, [text])[0]
    pairs = [
        (vocabulary.tokens[i], text[s:e])
        for i, (s, e) in zip(tokens.ids, tokens.offsets, strict=True)
    ]
    assert pairs[:4] == [("the", "The"), ("cafe", "CAFÉ"), ("cross", "cross"), ("##ing", "ing")]
    assert pairs[4][0] == "cafe"
    assert pairs[4][1].startswith("cafe")
    assert pairs[5] == ("[UNK]", "☃fox")


def test_special_tokens_in_a_text_are_plain_text(vocabulary: Vocabulary) -> None:
    ids = tokenize(vocabulary, ["fox [SEP] [CLS]"])[0].ids
    assert not set(ids) & {vocabulary.ids["[SEP]"], vocabulary.ids["[CLS]"]}


def test_half_a_surrogate_pair_is_no_error(vocabulary: Vocabulary) -> None:
    text = "fox \udcff river"
    tokens = tokenize(vocabulary, [text])[0]
    assert [text[s:e] for s, e in tokens.offsets] == ["fox", "river"]


def test_one_window_is_laid_out_as_bert_reads_it(vocabulary: Vocabulary) -> None:
    prepared = preprocessor(vocabulary, sequence_length=12)
    windows = prepared.windows([("who saw", "the fox crossing")])
    inputs = prepared.inputs(windows)
    words = [vocabulary.tokens[i] for i in inputs["word_ids"][0]]
    assert words == [
        "[CLS]",
        "who",
        "saw",
        "[SEP]",
        "the",
        "fox",
        "cross",
        "##ing",
        "[SEP]",
        *["[PAD]"] * 3,
    ]
    assert inputs["mask"].tolist() == [[1] * 9 + [0] * 3]
    assert inputs["type_ids"].tolist() == [[0] * 4 + [1] * 5 + [0] * 3]
    assert {array.dtype for array in inputs.values()} == {np.dtype(np.int32)}
    assert prepared.inputs(windows, 9)["mask"].shape == (1, 9)
    with pytest.raises(UsageError, match="9 tokens does not fit in 8"):
        prepared.inputs(windows, 8)


def test_windows_step_by_the_stride_and_cover_everything(vocabulary: Vocabulary) -> None:
    context = " ".join(f"{number}" for number in range(10)) + " fox" * 30
    windows = preprocessor(vocabulary).windows([("who ?", context)])
    room = 24 - 2 - 3
    total = 40
    starts = [
        int(np.searchsorted(tokenize(vocabulary, [context])[0].offsets[:, 0], w.offsets[0, 0]))
        for w in windows
    ]
    assert starts == [0, 6, 12, 18, 24]
    assert [len(w.offsets) for w in windows] == [room] * 3 + [room, total - 24]
    # Each token is best in one window, where it has most text around it: worked out by hand for these.
    owner = np.full(total, -1)
    for number, (window, start) in enumerate(zip(windows, starts, strict=True)):
        places = start + np.flatnonzero(window.best)
        assert (owner[places] == -1).all()
        owner[places] = number
    assert owner.min() == 0
    # Token 12 has min(12, 6) in the first, min(6, 12) in the second: the first wins.
    assert (owner[11], owner[12], owner[13]) == (0, 0, 1)


def test_a_stride_beyond_the_window_leaves_no_gap(vocabulary: Vocabulary) -> None:
    context = " ".join(["fox"] * 50)
    windows = preprocessor(vocabulary, doc_stride=100).windows([("who", context)])
    assert sum(len(window.offsets) for window in windows) == 50


def test_the_answer_comes_back_in_the_context_s_own_characters(vocabulary: Vocabulary) -> None:
    prepared = preprocessor(vocabulary)
    windows = prepared.windows([("Who was in the river?", CONTEXT)])
    assert len(windows) > 1
    for wanted in ("RED Fox", "crossing the river", "café", "In winter", "closed."):
        start = CONTEXT.index(wanted)
        logits = oracle(windows, start, start + len(wanted), 24)
        best = prepared.answers(CONTEXT, windows, *logits)[0]
        assert (best.text, best.start, best.end) == (wanted, start, start + len(wanted))
        assert best.score == 18.0
        assert 0 < best.probability <= 1


def test_an_unknown_word_can_be_the_answer(vocabulary: Vocabulary) -> None:
    context = "the fox saw 狐狸 Ωμέγα in winter"
    prepared = preprocessor(vocabulary)
    windows = prepared.windows([("who ☃?", context)])
    start = context.index("Ωμέγα")
    best = prepared.answers(context, windows, *oracle(windows, start, start + 5, 24))[0]
    assert best.text == "Ωμέγα"
    assert vocabulary.ids["[UNK]"] in windows[0].word_ids


def test_answers_are_distinct_ranked_and_share_their_probability(vocabulary: Vocabulary) -> None:
    context = "red fox red fox red"
    prepared = preprocessor(vocabulary, n_best=4, max_answer_length=2)
    windows = prepared.windows([("who", context)])
    start, end = np.zeros((1, 24)), np.zeros((1, 24))
    start[0, 3:8] = [5, 1, 4, 0, 0]
    end[0, 3:8] = [5, 1, 4, 0, 0]
    # Positions outside the context are no answers, whatever the network says.
    start[0, 0] = end[0, 0] = start[0, 20] = 99
    found = prepared.answers(context, windows, start, end)
    assert [(answer.text, answer.score) for answer in found] == [
        ("red", 10), ("red fox", 6), ("fox red", 5), ("fox", 2),
    ]  # fmt: skip
    assert sum(answer.probability for answer in found) == pytest.approx(1)
    assert found[0].start == 0


def test_the_longest_answer_is_kept_to(vocabulary: Vocabulary) -> None:
    context = "fox " * 12
    prepared = preprocessor(vocabulary, max_answer_length=3)
    windows = prepared.windows([("who", context)])
    for answer in prepared.answers(context, windows, np.ones((1, 24)), np.ones((1, 24))):
        assert len(answer.text.split()) <= 3


def test_where_no_start_comes_before_an_end_all_positions_are_tried(vocabulary: Vocabulary) -> None:
    context = "red fox saw the river"
    prepared = preprocessor(vocabulary, n_best=1)
    windows = prepared.windows([("who", context)])
    start, end = np.zeros((1, 24)), np.zeros((1, 24))
    start[0, 7], end[0, 3] = 5, 5
    found = prepared.answers(context, windows, start, end)
    assert len(found) == 1
    assert found[0].score == 5


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 12))
def test_random_logits_give_answers_that_are_in_the_context(
    vocabulary: Vocabulary, seed: int, n_best: int, longest: int
) -> None:
    prepared = preprocessor(vocabulary, n_best=n_best, max_answer_length=longest)
    windows = prepared.windows([("who saw the fox?", CONTEXT)])
    logits = np.random.default_rng(seed).normal(size=(2, len(windows), 24))
    found = prepared.answers(CONTEXT, windows, *logits)
    assert 1 <= len(found) <= n_best
    assert all(CONTEXT[a.start : a.end] == a.text != "" for a in found)
    assert [a.score for a in found] == sorted((a.score for a in found), reverse=True)
    best = max(
        logits[0, row, i] + logits[1, row, j]
        for row, window in enumerate(windows)
        for i in np.flatnonzero(window.best) + window.context_at
        for j in range(i, min(i + longest, window.context_at + len(window.offsets)))
    )
    assert found[0].score <= best + 1e-9
    if n_best >= 24:
        assert found[0].score == pytest.approx(best)


def test_an_answer_outside_a_window_points_to_cls(vocabulary: Vocabulary) -> None:
    windows = preprocessor(vocabulary).windows([("who", CONTEXT)])
    end = len(CONTEXT)
    places = [window.locate(end - 7, end) for window in windows]
    assert places[0] == (0, 0)
    assert places[-1] != (0, 0)
    # Half of it in the window is not enough.
    cut = int(windows[0].offsets[-1, 1])
    assert windows[0].locate(cut - 1, cut + 1) == (0, 0)


def test_a_long_question_is_cut_and_says_so(vocabulary: Vocabulary) -> None:
    prepared = preprocessor(vocabulary)
    question = "who " * 500
    (window, *_) = prepared.windows([(question, CONTEXT)])
    assert window.context_at == 1 + 8 + 1
    assert len(window.word_ids) == 24
    assert prepared.tokens_cut(question) == 492
    assert prepared.tokens_cut("who saw") == 0


@pytest.mark.parametrize("nothing", ["", "  \n\t", "\x00\u200b\ufffd"])
def test_an_empty_question_or_context_is_refused(vocabulary: Vocabulary, nothing: str) -> None:
    prepared = preprocessor(vocabulary)
    with pytest.raises(DataError, match="The context is empty"):
        prepared.windows([("who", nothing)])
    with pytest.raises(DataError, match="The question 2 is empty"):
        prepared.windows([("who", "fox"), (nothing, "fox")])


def test_bad_logits_are_refused(vocabulary: Vocabulary) -> None:
    prepared = preprocessor(vocabulary)
    windows = prepared.windows([("who", "the fox")])
    good = np.zeros((1, 24))
    with pytest.raises(UsageError, match=r"Received: shape \(2, 24\)"):
        prepared.answers("the fox", windows, np.zeros((2, 24)), good)
    with pytest.raises(UsageError, match=r"Received: shape \(1, 3\)"):
        prepared.answers("the fox", windows, good, np.zeros((1, 3)))
    with pytest.raises(DataError, match="not finite"):
        prepared.answers("the fox", windows, good, np.full((1, 24), np.nan))


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"sequence_length": 4}, "sequence_length"),
        ({"max_query_length": 21}, "max_query_length"),
        ({"doc_stride": 0}, "doc_stride"),
        ({"n_best": 2.5}, "n_best"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, int], path: str) -> None:
    with pytest.raises(SpecError, match=f"^{path}"):
        QuestionSettings(**{"sequence_length": 24, "max_query_length": 8, **settings})

"""From the start and end logits of all windows of a question to the best answers in the context's own characters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, UsageError
from model_zoo.text.windows import Window

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """context[start:end]; `score` is the sum of two logits, `probability` is relative to the other answers found."""

    text: str
    start: int
    end: int
    score: float
    probability: float


def best_answers(
    context: str,
    windows: Sequence[Window],
    start_logits: npt.ArrayLike,
    end_logits: npt.ArrayLike,
    *,
    n_best: int,
    max_tokens: int,
) -> tuple[Answer, ...]:
    """At most `n_best` answers of different text, the best first; logits are (len(windows), L).

    Source: the n-best list of BERT's SQuAD evaluation; here positions outside the context take none of the
    `n_best` places of a window, and where no start comes before an end all positions are tried.

    Raises:
        UsageError: logits of another shape.
        DataError: a logit is not finite.
    """
    starts, ends = (_checked(logits, windows) for logits in (start_logits, end_logits))
    found: list[tuple[float, int, int]] = []
    for considered in (n_best, starts.shape[1]):
        for row, window in enumerate(windows):
            found.extend(_spans(window, starts[row], ends[row], considered, max_tokens))
        if found:
            break
    found.sort(key=lambda span: -span[0])
    return _answers(context, found, n_best)


def _checked(logits: npt.ArrayLike, windows: Sequence[Window]) -> Floats:
    rows: Floats = np.asarray(logits, dtype=np.float64)
    longest = max((len(window.word_ids) for window in windows), default=0)
    if rows.ndim != 2 or len(rows) != len(windows) or rows.shape[1] < longest:
        raise UsageError(
            f"Logits are (windows, length): {len(windows)} windows of up to {longest} tokens. "
            f"Received: shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise DataError("The network's logits are not finite; its weights are damaged or diverged")
    return rows


def _spans(
    window: Window, start_logits: Floats, end_logits: Floats, n_best: int, max_tokens: int
) -> Iterable[tuple[float, int, int]]:
    """(score, first character, last character + 1) of the candidates of one window."""
    inside = slice(window.context_at, window.context_at + len(window.offsets))
    # An answer starts in the window that shows most text around it.
    may_start = np.where(window.best, start_logits[inside], -np.inf)
    first = _top(may_start, n_best)
    first = first[np.isfinite(may_start[first])]
    last = _top(end_logits[inside], n_best)
    length = last[None, :] - first[:, None] + 1
    rows, columns = np.nonzero((length >= 1) & (length <= max_tokens))
    begin, stop = first[rows], last[columns]
    scores = may_start[begin] + end_logits[inside][stop]
    spans = zip(scores, window.offsets[begin, 0], window.offsets[stop, 1], strict=True)
    return [(float(score), int(start), int(end)) for score, start, end in spans]


def _top(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """Indices of the largest values, the largest first, the first of equal ones before the others."""
    return np.argsort(-values, kind="stable")[:count]


def _answers(
    context: str, spans: Iterable[tuple[float, int, int]], n_best: int
) -> tuple[Answer, ...]:
    chosen: dict[str, tuple[float, int, int]] = {}
    for span in spans:
        if len(chosen) == n_best:
            break
        chosen.setdefault(context[span[1] : span[2]], span)
    if not chosen:
        return ()
    scores = np.array([score for score, _, _ in chosen.values()])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return tuple(
        Answer(text=text, start=start, end=end, score=score, probability=float(share))
        for (text, (score, start, end)), share in zip(chosen.items(), shares, strict=True)
    )

"""The relations the papers print, on the named target and by both evaluators; the table lies in `benchmarks`.

Tolerances are the bounds of `paper_relations.RELATIONS`. Shapes that no paper prints are our reconstruction,
named with each relation.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

#: Relations that hold, and those of which the direction or a part does: the model may only get better.
HOLD = (1, 2, 3, 4, 6, 7, 8, 12, 14, 15, 16, 19, 22, 25, 26)
IN_PART = (5, 10, 11, 13, 17, 18, 20, 21, 24)
#: CPUs, searches over accelerators.
NOT_CHECKED = (9, 23)


@pytest.fixture(scope="module")
def table() -> Iterator[ModuleType]:
    """The benchmark's module, imported as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[3] / "benchmarks"))
        import paper_relations  # type: ignore[import-not-found, unused-ignore]

        yield paper_relations


def measured(table: ModuleType, number: int) -> str:
    """What both evaluators make of a relation, today."""
    row = table.row_of(table.RELATIONS[number - 1])
    assert row["number"] == number
    return str(row["verdict"])


@pytest.mark.parametrize("number", HOLD)
def test_holds(table: ModuleType, number: int) -> None:
    assert measured(table, number) == "holds"


@pytest.mark.parametrize("number", IN_PART)
def test_holds_in_part(table: ModuleType, number: int) -> None:
    assert measured(table, number) in {"in part", "holds"}


def test_every_relation_is_there_once(table: ModuleType) -> None:
    assert [relation.number for relation in table.RELATIONS] == list(range(1, 27))
    unchecked = [r.number for r in table.RELATIONS if r.measure is None]
    assert unchecked == list(NOT_CHECKED)
    assert sorted((*HOLD, *IN_PART, *NOT_CHECKED)) == list(range(1, 27))


def test_a_verdict_needs_every_value_of_every_evaluator(table: ModuleType) -> None:
    relation = table.Relation(
        number=1, claim="", paper="", note="", target="pixel6", measure=dict,
        bounds={"a": (1, 2), "b": (0, 1)}, weaker={"a": (1, 3)},
    )  # fmt: skip
    good, worse, bad = {"a": 1.5, "b": 1.0}, {"a": 3.0, "b": 0.5}, {"a": 0.5, "b": 0.5}
    assert relation.verdict(good, good) == "holds"
    assert relation.verdict(good, worse) == "in part"
    assert replace(relation, incomplete=True).verdict(good, good) == "in part"
    assert relation.verdict(good, bad) == "does not hold"


def test_a_rebuilt_network_has_the_published_size(table: ModuleType) -> None:
    """210 M multiply-adds, 3.9 M parameters."""
    graphs = table.measures.graphs
    small = graphs.mobilenet_v3_minimalistic()
    assert (round(small.macs / 1e6), round(small.param_count / 1e6, 1)) == (209, 3.9)


def test_dual_blocks_have_equal_work(table: ModuleType) -> None:
    """Only then does their latency compare the form alone."""
    plain, dual = (table.measures.graphs.group_block(28, 64, 4, dual=d) for d in (False, True))
    assert (plain.macs, plain.param_count) == (dual.macs, dual.param_count)


def test_the_record_says_what_its_figures_mean(table: ModuleType) -> None:
    """Verdicts are worked out from the values beside them, by today's bounds."""
    from record import load  # type: ignore[import-not-found, unused-ignore]

    rows = load("relations")["rows"]
    for relation, row in zip(table.RELATIONS, rows, strict=True):
        assert relation.verdict(*row["values"].values()) == row["verdict"], relation.number

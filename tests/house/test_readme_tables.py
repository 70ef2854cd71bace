"""No figure in a README is typed by hand: every table is what its benchmark recorded."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from hw_model.errors import DataError

TABLES = {
    "README.md": {
        "parity", "cost", "accuracy", "search", "cost_speed", "export_speed", "training_speed",
        "search_overhead", "segmentation_outputs", "startup", "search_segmentation", "search_detection",
        "attention_mask",
    },
    "hw_model/README.md": {
        "cost_agreement", "simulator_agreement", "learned_cost", "memory_vs_compiler", "relations", "pruning",
        "pruned_search", "cost_service", "peers", "text_utilization",
    },
}  # fmt: skip


@pytest.fixture
def readme_tables(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that draws the tables, imported as when it is run."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("readme_tables")


@pytest.mark.parametrize("name", TABLES)
def test_a_readme_shows_every_table(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- table:([\w-]+) -->", text)) == TABLES[name]
    assert text.count("<!-- /table -->") == len(TABLES[name])


def test_every_readme_with_tables_is_drawn(root: Path, readme_tables: ModuleType) -> None:
    assert {str(path.relative_to(root)) for path in readme_tables.READMES} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_what_its_benchmark_recorded(
    root: Path, readme_tables: ModuleType, name: str
) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert readme_tables.rewrite(text) == text


def test_a_changed_figure_is_seen(root: Path, readme_tables: ModuleType) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    tampered = re.sub(r"(<!-- table:startup -->.*?\| )(\d+)( \|)", r"\g<1>1\2\3", text, flags=re.S)
    assert tampered != text
    assert readme_tables.rewrite(tampered) == text


def test_a_table_nobody_measured_is_named(readme_tables: ModuleType) -> None:
    with pytest.raises(DataError, match="results/unheard-of.json"):
        readme_tables.rewrite("<!-- table:unheard-of -->\n<!-- /table -->")


def test_cells_are_formatted_by_their_column(readme_tables: ModuleType) -> None:
    drawn = readme_tables.table(
        {
            "command": "run",
            "machine": "this",
            "columns": [
                {"key": "model", "heading": "Model", "format": ""},
                {"key": "params", "heading": "Parameters", "format": ","},
            ],
            "rows": [{"model": "a|b", "params": 1234567}, {"model": "c", "params": None}],
            "notes": ["Once."],
        }
    )
    assert drawn.splitlines() == [
        "| Model | Parameters |",
        "| --- | ---: |",
        r"| a\|b | 1,234,567 |",
        "| c | – |",
        "",
        "Once. From `run` on this.",
    ]


def test_the_accuracy_table_is_what_the_manifest_says(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    accuracy, record = (importlib.import_module(name) for name in ("accuracy", "record"))
    names = accuracy.presets.names(fetched=False)
    expected = [row for name in names for row in accuracy.rows_of(accuracy.presets.get(name))]
    assert record.load("accuracy")["rows"] == expected

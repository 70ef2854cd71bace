"""The model against published latencies: ranks, errors on rows left out, and tables that are what the code gives."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from hw_model import list_targets, load_target
from hw_model.calibrate import published
from hw_model.calibrate.published import data_set, measurements
from hw_model.errors import DataError


@pytest.fixture(scope="module")
def benchmark(root: Path) -> ModuleType:
    """The script that writes the tables, imported as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        return importlib.import_module("cost_vs_published")


def test_the_nine_published_pixel_6_latencies(benchmark: ModuleType) -> None:
    """Ranked right, and within a few percent each when left out of the fit."""
    found = benchmark.fit_of("pixel6")
    assert found.fitted.n == 9
    assert found.fitted.spearman >= 0.9
    assert found.left_out.spearman >= 0.9
    assert found.left_out.mape <= 0.05


@pytest.mark.parametrize(
    ("name", "spearman", "error"),
    [("pixel4", 0.9, 0.05), ("coral_usb", 0.95, 0.12), ("coral_devboard", 0.95, 0.12)],
)
def test_the_other_fitted_tables(
    benchmark: ModuleType, name: str, spearman: float, error: float
) -> None:
    found = benchmark.fit_of(name)
    assert found.left_out.spearman >= spearman
    assert found.left_out.mape <= error


@pytest.mark.parametrize("name", sorted({row.target for row in measurements()}))
def test_target_files_hold_what_the_fit_gives(benchmark: ModuleType, name: str) -> None:
    """Scales to 1 %, and the declared error is the one measured on rows left out."""
    target, found = load_target(name), benchmark.fit_of(name)
    for scale, value in found.scales.items():
        assert getattr(target.overhead, scale) == pytest.approx(value, rel=0.01)
    assert target.accuracy.analytical_error == pytest.approx(found.left_out.mape, rel=0.05)


def test_better_than_lines_through_macs_or_parameters(benchmark: ModuleType) -> None:
    """A model that does not beat one number per network says nothing."""
    for row in benchmark.set_rows():
        if row["left_out_percent"] is not None:
            assert row["left_out_percent"] < row["macs_percent"]
            assert row["left_out_percent"] < row["parameters_percent"]


def test_tables_never_fitted_are_ranked_right(benchmark: ModuleType) -> None:
    checked = [row for row in benchmark.set_rows() if row["left_out_percent"] is None]
    assert len(checked) == 4
    assert all(row["spearman"] >= 0.95 for row in checked)


@pytest.mark.parametrize(
    ("table", "rows"), [("cost", "model_rows"), ("cost_agreement", "set_rows")]
)
def test_recorded_tables_are_what_the_code_gives(
    benchmark: ModuleType, root: Path, table: str, rows: str
) -> None:
    recorded = json.loads((root / f"benchmarks/results/{table}.json").read_text(encoding="utf-8"))
    fresh = getattr(benchmark, rows)()
    assert len(recorded["rows"]) == len(fresh)
    for old, new in zip(recorded["rows"], fresh, strict=True):
        assert old.keys() == new.keys()
        for key, value in new.items():
            exact = value is None or isinstance(value, str)
            assert old[key] == (value if exact else pytest.approx(value, rel=0.01, abs=0.05)), key


def test_every_row_has_a_known_target_and_one_data_set_has_one() -> None:
    rows = measurements()
    assert {row.target for row in rows} < set(list_targets())
    assert len({(row.data_set, row.model) for row in rows}) == len(rows)
    for name in {row.data_set for row in rows}:
        assert len({(row.target, row.fitted) for row in data_set(name)}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,ms\n", "must have the columns data_set, target"),
        ("a,b,c,fast,fit,d", "line 2: needs a positive latency_ms"),
        ("a,b,c,-1,fit,d", "line 2: needs a positive latency_ms"),
        ("a,b,c,1.0,maybe,d", "line 2: .* use 'fit' or 'check'"),
        ("a,b,c,1.0", "line 2"),
    ],
)
def test_a_broken_table_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "latencies.csv"
    head = "" if text.startswith("model") else ",".join(published.COLUMNS) + "\n"
    path.write_text(head + text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        measurements(path)

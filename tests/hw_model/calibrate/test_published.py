"""The model against published latencies: ranks, errors on rows left out, and tables that are what the code gives."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hw_model import list_targets, load_target
from hw_model.calibrate import published
from hw_model.calibrate.profile import SCALES, scales_of
from hw_model.calibrate.published import data_set, measurements
from hw_model.errors import DataError

#: Targets that a published table is fitted to; the others are descriptions.
MEASURED = sorted({row.target for row in measurements()})


@pytest.fixture(scope="module")
def benchmark(root: Path) -> ModuleType:
    """The script that writes the tables, imported as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        return importlib.import_module("cost_vs_published")


def study(benchmark: ModuleType, table: str) -> dict[str, Any]:
    """The first row of the agreement table that a published table has."""
    index = next(i for i, each in enumerate(benchmark.STUDIES) if each.table == table)
    label = benchmark.STUDIES[index].label
    return next(row for row in benchmark.set_rows() if row["data_set"] == label)


@pytest.mark.parametrize(
    ("name", "rows", "spearman", "error_percent"),
    [
        ("pixel6", 9, 0.95, 4.0), ("pixel4", 6, 0.9, 4.0), ("coral_usb", 13, 0.95, 4.0),
        ("coral_devboard", 13, 0.95, 8.0),
    ],
)  # fmt: skip
def test_tables_that_targets_are_fitted_to(
    benchmark: ModuleType, name: str, rows: int, spearman: float, error_percent: float
) -> None:
    """Ranked right, and off by few percent on rows left out of everything that is fitted."""
    row = study(benchmark, name)
    assert row["n"] == rows
    assert row["spearman"] >= spearman
    assert row["left_out_percent"] <= error_percent
    # A table of 13 has at most 4 constants, a smaller one 2.
    assert row["fitted"] <= (4 if rows > 12 else 2)


@pytest.mark.parametrize(
    "name", ["jetson_conv", "jetson_dense", "jetson_input", "jetson_output", "conv_sweep"]
)
def test_micro_benchmarks_follow_with_one_scale(benchmark: ModuleType, name: str) -> None:
    row = study(benchmark, name)
    assert row["fitted"] == 1
    assert row["left_out_percent"] <= 10
    assert row["spearman"] >= 0.95


@pytest.mark.parametrize("name", MEASURED)
def test_target_files_hold_what_the_fit_gives(benchmark: ModuleType, name: str) -> None:
    """Constants to 1 %, and the declared error is the one measured on rows left out."""
    target, found = load_target(name), benchmark.fit_of(name)
    shipped = scales_of(target)
    for path, value in found.scales.items():
        assert shipped[path] == pytest.approx(value, rel=0.01, abs=0.01)
    assert target.accuracy.analytical_error == pytest.approx(found.left_out.mape, rel=0.05)
    simulated = benchmark.simulator_of(name)
    assert target.accuracy.simulator_error == pytest.approx(simulated.mape, rel=0.05)


def test_the_dev_board_is_the_chip_of_the_stick(benchmark: ModuleType) -> None:
    """It takes the array's constants from the stick's table and adds its own link."""
    board, stick = scales_of(load_target("coral_devboard")), scales_of(load_target("coral_usb"))
    assert {path for path in SCALES if board[path] != stick[path]} == {
        "link.parameter_mb_per_s", "link.input_mb_per_s", "link.output_mb_per_s"
    }  # fmt: skip


def test_streaming_networks_alone_do_not_carry_the_fit(benchmark: ModuleType) -> None:
    row = next(r for r in benchmark.set_rows() if r["data_set"].endswith("fit the chip"))
    assert row["n"] == 6
    assert row["spearman"] >= 0.95


def test_better_than_lines_through_macs_or_parameters(benchmark: ModuleType) -> None:
    """A model that does not beat one number per network says nothing."""
    compared = [row for row in benchmark.set_rows() if row["macs_percent"] is not None]
    assert len(compared) == len(MEASURED)
    for row in compared:
        assert row["left_out_percent"] < row["macs_percent"]
        assert row["left_out_percent"] < row["parameters_percent"]


def test_tables_never_fitted_are_ranked_right(benchmark: ModuleType) -> None:
    checked = [row for row in benchmark.set_rows() if row["fitted"] == 0]
    assert len(checked) == 4
    assert all(row["spearman"] >= 0.9 for row in checked)


def test_segmentation_follows_with_one_scale(benchmark: ModuleType) -> None:
    """What it is not fitted to, the fused argmax, is off by little as well; all of Pixel 6 is ranked right."""
    argmax, fused, every = (
        study(benchmark, name) for name in ("pixel6_argmax", "pixel6_fused_argmax", "pixel6_masks")
    )
    assert (argmax["n"], fused["n"], every["n"]) == (5, 5, 20)
    assert (argmax["fitted"], fused["fitted"]) == (1, 0)
    assert argmax["left_out_percent"] <= 5
    assert fused["mape_percent"] <= 6
    assert every["spearman"] >= 0.95
    assert every["simulator_spearman"] >= 0.95


def test_detection_follows_with_nothing_fitted(benchmark: ModuleType) -> None:
    """SpaghettiNet is ranked right and off by little more than what is fitted; MobileDet on Pixel 4 as well."""
    boxes, every = (study(benchmark, name) for name in ("pixel6_detection", "pixel6_all"))
    assert (boxes["n"], boxes["fitted"], every["n"]) == (3, 0, 23)
    assert boxes["spearman"] == boxes["simulator_spearman"] == 1
    assert boxes["mape_percent"] <= 10
    assert min(every["spearman"], every["simulator_spearman"]) >= 0.95
    row = next(r for r in benchmark.error_rows() if r["model"] == "ssdlite_mobiledet_edgetpu")
    assert (row["target"], row["task"]) == ("pixel4", "detection, 320 px")
    assert abs(row["error_percent"]) <= 10


def test_the_segmentation_constant_is_what_its_fit_gives(benchmark: ModuleType) -> None:
    scales = benchmark.fit_of("pixel6_argmax").scales
    assert list(scales) == ["overhead.argmax_ratio"]
    for name in list_targets():
        assert load_target(name).overhead.argmax_ratio == pytest.approx(*scales.values(), rel=0.01)


@pytest.mark.parametrize(
    ("table", "rows"),
    [("cost", "model_rows"), ("cost_agreement", "set_rows"), ("cost_rows", "error_rows")],
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
    assert len({(row.data_set, row.label) for row in rows}) == len(rows)
    for name in {row.data_set for row in rows}:
        assert len({(row.target, row.fitted) for row in data_set(name)}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,ms\n", "must have the columns data_set, target"),
        ("a,b,c,,fast,fit,,d", "line 2: needs a positive latency_ms"),
        ("a,b,c,,-1,fit,,d", "line 2: needs a positive latency_ms"),
        ("a,b,c,,1.0,maybe,,d", "line 2: .* use 'fit' or 'check'"),
        ("a,b,c,,1.0", "line 2"),
    ],
)
def test_a_broken_table_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "latencies.csv"
    head = "" if text.startswith("model") else ",".join(published.COLUMNS) + "\n"
    path.write_text(head + text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        measurements(path)

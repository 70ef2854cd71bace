"""A user's measurements: what a fit of them gives, and every way a file can be wrong."""

import math
from pathlib import Path

import pytest

from hw_model import estimate, load_target
from hw_model.calibrate import calibrate, read_measurements
from hw_model.calibrate.profile import with_scales
from hw_model.errors import DataError, UsageError
from hw_model.graph import Graph
from model_zoo.registry import entries, spec_of

HEAD = "model,latency_ms\n"


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    """Five networks."""
    return [spec_of(name).graph() for name in list(entries())[:5]]


def test_a_target_learns_its_constants(graphs: list[Graph]) -> None:
    truth = with_scales(load_target("pixel6"), {"overhead.mapping_efficiency": 0.5})
    pairs = [(graph, estimate(graph, target=truth).latency_ms) for graph in graphs]
    found = calibrate("pixel6", pairs)
    assert found.target.overhead.mapping_efficiency == pytest.approx(0.5, rel=1e-3)
    for graph, measured in pairs:
        assert estimate(graph, target=found.target).latency_ms == pytest.approx(measured, rel=1e-3)


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, math.nan, math.inf])
def test_a_latency_is_a_positive_number(graphs: list[Graph], latency_ms: float) -> None:
    with pytest.raises(UsageError, match=r"^A latency is a positive number. Received: "):
        calibrate("pixel6", [(graph, latency_ms) for graph in graphs])


def test_other_columns_and_a_byte_order_mark_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("\ufeffdate,model,latency_ms\nmay, a ,1.5\njune,b,2\n", encoding="utf-8")
    rows = read_measurements(path)
    assert [(row.model, row.latency_ms, row.line) for row in rows] == [("a", 1.5, 2), ("b", 2.0, 3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns model and latency_ms. Received: nothing"),
        ("model,ms\na,1\n", "needs the columns model and latency_ms. Received: model, ms"),
        (HEAD + "a,nan\n", "line 2: latency_ms must be a positive number. Received: 'nan'"),
        (HEAD + "a,inf\n", "line 2: latency_ms must be a positive number. Received: 'inf'"),
        (HEAD + "a,-1\n", "line 2: latency_ms must be a positive number. Received: '-1'"),
        (HEAD + "a,0\n", "line 2: latency_ms must be a positive number. Received: '0'"),
        (HEAD + "a,1\nb,fast\n", "line 3: latency_ms must be a positive number. Received: 'fast'"),
        (HEAD + "a\n", "line 2: latency_ms must be a positive number. Received: ''"),
        (HEAD + ",1\n", "line 2: needs a model"),
        (HEAD + "a,1,2\n", "line 2: needs a model and as many cells"),
        (HEAD + "a,1\nb,1\na,2\n", "line 4: a is measured on line 2 already"),
    ],
)
def test_a_wrong_file_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_measurements(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"model,latency_ms\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="is no CSV text"):
        read_measurements(path)
    with pytest.raises(DataError, match="Cannot read .*absent.csv: No such file"):
        read_measurements(tmp_path / "absent.csv")

"""`hw_model.estimate`: whatever a user has, the same figures; and a clear word when it cannot be costed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import hw_model
from hw_model import estimate, load_target
from hw_model.errors import DataError, UnknownNameError, UsageError
from model_zoo.registry import spec_of

SPEC = spec_of("mobilenet_edgetpu_v2_tiny")


def test_spec_graph_and_model_cost_the_same() -> None:
    expected = estimate(SPEC.graph(), target="pixel6")
    assert estimate(SPEC, target="pixel6") == expected
    assert estimate(SimpleNamespace(spec=SPEC), target=load_target("pixel6")) == expected


def test_a_report_of_a_spec_keeps_the_spec_and_not_the_graph() -> None:
    report = estimate(SimpleNamespace(spec=SPEC), target="pixel6")
    assert report.source is SPEC
    assert report.graph == SPEC.graph()
    assert report.rows == estimate(SPEC.graph(), target="pixel6").rows


def test_something_whose_graph_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="Received: SimpleNamespace"):
        estimate(SimpleNamespace(graph=lambda: "no graph"), target="pixel6")


def test_the_target_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    shipped = Path(hw_model.__file__).parent / "targets" / "pixel6.toml"
    path.write_bytes(shipped.read_bytes())
    assert estimate(SPEC, target=path) == estimate(SPEC, target="pixel6")


def test_what_cannot_be_costed_is_named() -> None:
    with pytest.raises(UsageError, match="export any other model to .tflite first. Received: dict"):
        estimate({}, target="pixel6")
    with pytest.raises(
        UsageError, match=r"create_spec\(name\). Received: 'mobilenet_edgetpu_v2_s'"
    ):
        estimate("mobilenet_edgetpu_v2_s", target="pixel6")
    with pytest.raises(UnknownNameError, match="Did you mean coral_usb"):
        estimate(SPEC, target="coral")
    with pytest.raises(DataError):
        estimate("absent.tflite", target="pixel6")


def test_names_are_imported_when_asked_for() -> None:
    assert hw_model.estimate is estimate
    assert set(hw_model.__all__) == set(hw_model._HOMES)
    assert all(getattr(hw_model, name) is not None for name in hw_model.__all__)
    with pytest.raises(AttributeError, match="no attribute 'estimates'"):
        hw_model.estimates  # noqa: B018

"""Target files: what ships is sound, every constant says where it is from, and a wrong file is refused by path."""

import copy
import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hw_model import list_targets, load_target
from hw_model.calibrate.profile import SCALES
from hw_model.errors import DataError, SpecError, UnknownNameError
from hw_model.targets.loader import FOLDER, from_data


@pytest.fixture
def data() -> dict[str, Any]:
    """A target file as parsed, to be broken."""
    return copy.deepcopy(tomllib.loads((FOLDER / "coral_usb.toml").read_text(encoding="utf-8")))


MEASURED = ("coral_devboard", "coral_usb", "pixel4", "pixel6")
DESCRIBED = (
    "edgetpu_v1", "edgetpu_v2", "edgetpu_v3", "mensa_jacquard", "mensa_pascal", "mensa_pavlov",
)  # fmt: skip


def test_the_targets_that_ship() -> None:
    assert list_targets() == tuple(sorted((*MEASURED, *DESCRIBED)))


@pytest.mark.parametrize("name", list_targets())
def test_every_constant_has_a_source_and_fits_are_few(name: str) -> None:
    target = load_target(name)
    assert len(target.constants) >= 35
    assert all(len(constant.source) > 2 for constant in target.constants)
    fitted = [constant.path for constant in target.constants if constant.fitted]
    assert len(fitted) in (range(1, 6) if name in MEASURED else (0,))
    assert set(fitted) <= set(SCALES)


@pytest.mark.parametrize("name", list_targets())
def test_what_is_assumed_says_so(name: str) -> None:
    """A source that speaks of assuming or remembering carries the flag."""
    for constant in load_target(name).constants:
        if any(word in constant.source for word in ("assumed", "chosen", "from memory")):
            assert constant.assumption, constant.path


def test_peak_throughput_is_the_published_one() -> None:
    """4 TOPS for Coral; 8.73 for the accelerator Pixel 6 is modelled on; 26.2, 8.73, 8.73 and 2, 0.5, 0.1 in papers."""
    tops = {name: load_target(name).peak_gmacs_per_s * 2 / 1e3 for name in list_targets()}
    assert tops["coral_usb"] == pytest.approx(4.096)
    assert tops["pixel6"] == pytest.approx(8.73, abs=0.01)
    published = [round(tops[f"edgetpu_v{version}"], 2) for version in (1, 2, 3)]
    assert published == [26.21, 8.73, 8.73]
    mensa = [tops[f"mensa_{name}"] for name in ("pascal", "jacquard", "pavlov")]
    assert mensa == pytest.approx([2.048, 0.512, 0.128])


def test_the_id_follows_the_values_alone(data: dict[str, Any]) -> None:
    first = from_data(data)
    assert first == load_target("coral_usb")
    assert len(first.target_id) == 12
    data["title"] = "Another title"
    data["array"]["clock_mhz"]["source"] = "another source"
    assert from_data(data).target_id == first.target_id
    data["array"]["clock_mhz"]["value"] = 250
    assert from_data(data).target_id != first.target_id


def test_a_file_reads_as_a_shipped_target_does(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes((FOLDER / "pixel6.toml").read_bytes())
    assert load_target(path) == load_target(str(path)) == load_target("pixel6")


def _break(data: dict[str, Any], change: str) -> None:
    array = data["array"]
    changes: dict[str, Any] = {
        "missing": lambda: array.pop("clock_mhz"),
        "unknown": lambda: array.update(clok_mhz=array["clock_mhz"]),
        "unit": lambda: array["clock_mhz"].update(unit="GHz"),
        "bare": lambda: array.update(clock_mhz=500),
        "text": lambda: array["clock_mhz"].update(value="500"),
        "flag": lambda: array["clock_mhz"].update(value=True),
        "nan": lambda: array["clock_mhz"].update(value=float("nan")),
        "small": lambda: array["pe_rows"].update(value=0),
        "fraction": lambda: array["pe_rows"].update(value=4.0),
        "no source": lambda: array["pe_rows"].update(source=""),
        "key": lambda: array["pe_rows"].update(note="x"),
        "assumption": lambda: array["pe_rows"].update(assumption="yes"),
        "kinds": lambda: data["host"]["ops"].update(value=["ArgMin"]),
        "table": lambda: data.update(array=[]),
        "part": lambda: data.update(arrays={}),
        "name": lambda: data.update(name=""),
        "form": lambda: data.update(group_form="any"),
        "range": lambda: data["energy"]["idle_w"].update(low=9.0),
        "zero": lambda: data["energy"]["idle_w"].update(low=0.0, value=0.0),
        "useless": lambda: array["clock_mhz"].update(low=100),
    }
    changes[change]()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"^array\.clock_mhz: is missing"),
        ("unknown", r"^array\.clok_mhz: is unknown; did you mean 'clock_mhz'"),
        ("unit", r"^array\.clock_mhz\.unit: must be 'MHz'. Received: 'GHz'"),
        ("bare", r"^array\.clock_mhz: must be a table with value, unit and source"),
        ("text", r"^array\.clock_mhz\.value: must be a number. Received: '500'"),
        ("flag", r"^array\.clock_mhz\.value: must be a number. Received: True"),
        ("nan", r"^array\.clock_mhz\.value: must be at least 1. Received: nan"),
        ("small", r"^array\.pe_rows\.value: must be at least 1. Received: 0"),
        ("fraction", r"^array\.pe_rows\.value: must be an integer. Received: 4\.0"),
        ("no source", r"^array\.pe_rows\.source: must say where"),
        ("key", r"^array\.pe_rows\.note: is unknown"),
        ("assumption", r"^array\.pe_rows\.assumption: must be true or false"),
        ("kinds", r"^host\.ops\.value: must list operation kinds. Received: \['ArgMin'\]"),
        ("table", r"^array: must be a table"),
        ("part", r"^arrays: is unknown; did you mean 'array'"),
        ("name", r"^name: must be text"),
        ("form", r"^group_form: must be 'split' or 'native'"),
        ("range", r"^energy\.idle_w: must lie between its low and high"),
        ("zero", r"^energy\.idle_w: must lie between its low and high, all above 0 or all 0"),
        ("useless", r"^array\.clock_mhz\.low: is unknown"),
    ],
)
def test_a_wrong_file_is_refused_by_path(data: dict[str, Any], change: str, message: str) -> None:
    _break(data, change)
    with pytest.raises(SpecError, match=message):
        from_data(data)


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("name = 'x'\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"^mine\.toml: title: is missing"):
        load_target(path)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"name='a'\nname='b'\n"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match="is not valid TOML"):
        load_target(path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_target(tmp_path / "absent.toml")


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean pixel6"):
        load_target("pixle6")


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_target("pixel6").name = "other"  # type: ignore[misc]

"""Target files written again: nothing changes but what was asked for."""

from pathlib import Path

import pytest

from hw_model import list_targets, load_target
from hw_model.errors import DataError, SpecError
from hw_model.targets.loader import FOLDER
from hw_model.targets.writer import Change, with_changes


@pytest.mark.parametrize("name", list_targets())
def test_no_change_gives_the_same_target(name: str, tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(with_changes(FOLDER / f"{name}.toml", {}), encoding="utf-8")
    copy, target = load_target(path), load_target(name)
    assert copy == target
    assert copy.constants == target.constants
    assert path.read_text(encoding="utf-8").splitlines()[0].startswith("#")


def test_a_change_replaces_value_and_source_alone(tmp_path: Path) -> None:
    source = 'says "so"\\ \x7f ü'
    path = tmp_path / "changed.toml"
    change = Change(value=0.25, source=source)
    text = with_changes(FOLDER / "pixel6.toml", {"overhead.depthwise_ratio": change})
    path.write_text(text, encoding="utf-8")
    changed, target = load_target(path), load_target("pixel6")
    for new, old in zip(changed.constants, target.constants, strict=True):
        if new.path == "overhead.depthwise_ratio":
            assert (new.value, new.source, new.assumption) == (0.25, source, False)
        else:
            assert new == old


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read target file"):
        with_changes(tmp_path / "absent.toml", {})
    path = tmp_path / "wrong.toml"
    path.write_text("name = 'a'\nname = 'b'\n", encoding="utf-8")
    with pytest.raises(SpecError, match="is not valid TOML"):
        with_changes(path, {})

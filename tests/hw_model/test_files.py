"""Atomic writing: a failure, a full disk or a kill leaves the old file and no debris."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw_model.errors import EnvironmentFault, SpecError, UnknownNameError
from hw_model.files import atomic_path, sha256_of, write_bytes, write_json


def test_success_replaces_and_leaves_one_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.weights.h5"
    write_bytes(target, b"one")
    write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]
    assert sha256_of(target).startswith("3fc4ccfe7458")


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        assert temporary.parent == tmp_path


def test_an_error_in_the_block_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_really_full_disk_is_an_environment_fault(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def fill() -> None:
        with atomic_path(tmp_path / "file"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(EnvironmentFault, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="Cannot write"):
        write_json(tmp_path / "file" / "x.json", {})


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(EnvironmentFault, match="device or a pipe"):
        write_bytes(pipe, b"x")
    assert pipe.is_fifo()


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from hw_model.files import write_bytes
print("ready", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_bytes(sys.argv[1], letter * 2_000_000)
"""


def test_kill_during_writes_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_bytes(target, b"a" * 2_000_000)
    for round_ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout:
            process.stdout.readline()
            time.sleep(0.02 * (round_ + 1))
            process.send_signal(signal.SIGKILL)
            process.wait()
        content = target.read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1


def test_errors_are_one_line_and_carry_exit_codes() -> None:
    assert UnknownNameError("target", "pixl6", ["pixel6", "pixel4"]).exit_code == 2
    assert "Did you mean pixel6" in str(UnknownNameError("target", "pixl6", ["pixel6", "pixel4"]))
    assert (
        str(UnknownNameError("preset", "x", []))
        == "Unknown preset. None is known here. Received: 'x'"
    )
    assert str(SpecError("b[0]", "is bad").under("a")) == "a.b[0]: is bad"
    assert str(SpecError("[0]", "is bad").under("a")) == "a[0]: is bad"

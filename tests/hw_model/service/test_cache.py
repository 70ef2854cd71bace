"""The cache: bounded, shared by processes, and never a reason to fail."""

import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hw_model.errors import EnvironmentFault
from hw_model.service.cache import CostCache

MIB = 1 << 20


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "costs.sqlite3"


def test_what_was_put_is_there_for_this_process_and_the_next(path: Path) -> None:
    first = CostCache(path, max_bytes=MIB)
    first.put(key(1), b"one")
    assert first.get(key(1)) == b"one"
    assert CostCache(path, max_bytes=MIB).get(key(1)) is None
    first.flush()
    assert CostCache(path, max_bytes=MIB).get(key(1)) == b"one"
    assert first.get(key(2)) is None


def test_it_stays_within_its_bound_and_forgets_the_oldest(path: Path) -> None:
    cache = CostCache(path, max_bytes=MIB)
    for number in range(3000):
        cache.put(key(number), bytes(2000))
        if number % 10 == 9:
            cache.flush()
    cache.close()
    assert path.stat().st_size < 2.5 * MIB
    again = CostCache(path, max_bytes=MIB)
    assert again.get(key(2999)) == bytes(2000)
    assert again.get(key(0)) is None
    assert len(again) > 200


def test_a_damaged_value_is_computed_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = CostCache(path, max_bytes=MIB)
    cache.put(key(1), b"one")
    cache.flush()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE costs SET value = ?", (b"12345678two",))
    db.close()
    assert cache.get(key(1)) is None
    assert "damaged cost" in caplog.text
    assert len(cache) == 0


@pytest.mark.parametrize("damage", ["text", "middle", "cut"])
def test_a_damaged_file_is_moved_aside_and_begun_anew(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = CostCache(path, max_bytes=MIB)
    for number in range(400):
        cache.put(key(number), bytes(1000))
    cache.close()
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = bytearray(b"no database at all, but long enough to be looked at. " * 100)
    elif damage == "middle":
        data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
    else:
        del data[len(data) // 3 :]
    path.write_bytes(data)
    caplog.set_level(logging.WARNING)
    cache = CostCache(path, max_bytes=MIB)
    for number in range(400):
        cache.get(key(number))
    cache.put(key(1), b"new")
    cache.flush()
    assert cache.get(key(1)) == b"new"
    assert CostCache(path, max_bytes=MIB).get(key(1)) == b"new"
    assert "moved to costs.sqlite3.damaged-" in caplog.text
    assert len(list(path.parent.glob("*.damaged-*"))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="choose another file or none"):
        CostCache(tmp_path / "file" / "costs.sqlite3", max_bytes=MIB)


WRITER = """
import sys
from hw_model.service.cache import CostCache
cache = CostCache(sys.argv[1], max_bytes=1 << 30)
for number in range(300):
    cache.put((number * 2 + int(sys.argv[2])).to_bytes(32, "big"), b"v" * 500)
    cache.put((10_000 + number).to_bytes(32, "big"), b"both")
    if number % 3 == 0:
        cache.flush()
cache.close()
"""


def test_two_processes_write_the_same_file(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(which)], stderr=-1)
        for which in range(2)
    ]
    said = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    assert said == [b"", b""]
    assert len(CostCache(path, max_bytes=MIB)) == 900


def test_two_that_meet_the_same_damage_replace_the_file_once(path: Path) -> None:
    caches = [CostCache(path, max_bytes=MIB) for _ in range(2)]
    for cache in caches:
        cache.close()
    path.write_bytes(b"rubbish " * 1000)
    threads = [threading.Thread(target=cache.get, args=(key(1),)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, cache in enumerate(caches):
        cache.put(key(number), b"x")
        cache.flush()
    assert len(caches[0]) == 2
    assert len(list(path.parent.glob("*.damaged-*"))) == 1

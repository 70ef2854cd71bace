"""Files by path or URL, from a server with the faults of real ones: whole and right, or one line says why not."""

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, serving

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, UsageError
from model_zoo import fetch as module
from model_zoo.fetch import fetch, file_name, home, is_url, shown

CONTENT = bytes(range(256)) * 2000
SUM = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(module.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(module.OFFLINE_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"net.bin": CONTENT}) as running:
        yield running


def part_of(cache: Path, content: bytes) -> Path:
    """Half a file, as a fetch that broke off leaves it."""
    part = cache / "files" / SUM[:16] / "net.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


def files_in(cache: Path) -> set[str]:
    """All but locks, by name."""
    return {
        path.name for path in cache.rglob("*") if path.is_file() and path.parent.name != "locks"
    }


def refused(kind: type[EdgeZooError], url: str, **options: Any) -> str:
    """The one line of an error."""
    with pytest.raises(kind) as raised:
        fetch(url, **{"sha256": SUM, **options})
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_is_fetched_once(server: FileServer, cache: Path) -> None:
    path = fetch(f"{server.url}/net.bin", sha256=SUM.upper())
    assert path.read_bytes() == CONTENT
    assert path.name == "net.bin"
    assert fetch(f"{server.url}/net.bin", sha256=SUM) == path
    assert server.asked == [None]
    assert files_in(cache) == {"net.bin"}


def test_a_damaged_file_in_the_cache_is_fetched_again(server: FileServer) -> None:
    path = fetch(f"{server.url}/net.bin", sha256=SUM)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT


def test_the_target_may_be_named(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    assert fetch(f"{server.url}/net.bin", sha256=SUM, target=target) == target
    assert target.read_bytes() == CONTENT
    copy = tmp_path / "copy.bin"
    assert fetch(target, sha256=SUM, target=copy).read_bytes() == CONTENT
    assert refused(DataError, str(target), sha256=OTHER, target=tmp_path / "no").count(SUM) == 1
    assert not (tmp_path / "no").exists()
    assert "No file" in refused(DataError, str(tmp_path / "x"), target=tmp_path / "no")


@pytest.mark.parametrize("length", [1, 1000, len(CONTENT) - 1])
def test_half_a_file_is_gone_on_with(server: FileServer, cache: Path, length: int) -> None:
    part_of(cache, CONTENT[:length])
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked == [f"bytes={length}-"]
    assert files_in(cache) == {"net.bin"}


def test_a_whole_file_that_was_not_yet_renamed_is_taken(server: FileServer, cache: Path) -> None:
    part_of(cache, CONTENT)
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("content", [b"half of another file", CONTENT + b"too long"])
def test_half_of_another_file_is_discarded(server: FileServer, cache: Path, content: bytes) -> None:
    part_of(cache, content)
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(content)}-", None]


def test_a_server_without_ranges_sends_all_again(server: FileServer, cache: Path) -> None:
    server.ranges = False
    part_of(cache, CONTENT[:1000])
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_connection_that_breaks_is_gone_on_with(server: FileServer) -> None:
    server.breaks = [100_000, 200_000]
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=300000-"]


def test_a_connection_that_breaks_for_good_leaves_the_half(server: FileServer, cache: Path) -> None:
    server.breaks = [100_000, 0]
    line = refused(EnvironmentFault, f"{server.url}/net.bin")
    assert "broke after 100,000 bytes; run the same again" in line
    assert files_in(cache) == {"net.bin.part"}
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


def test_without_ranges_a_connection_that_breaks_for_good_ends(server: FileServer) -> None:
    server.ranges, server.breaks = False, [1000] * 9
    assert "broke after 1,000 bytes" in refused(EnvironmentFault, f"{server.url}/net.bin")
    assert len(server.asked) == 2


def test_an_answer_of_unknown_length(server: FileServer) -> None:
    server.says_length = False
    assert fetch(f"{server.url}/net.bin", sha256=SUM).read_bytes() == CONTENT


def test_another_file_is_named_and_not_kept(server: FileServer, cache: Path) -> None:
    line = refused(DataError, f"{server.url}/net.bin", sha256=OTHER)
    assert f"Expected SHA-256 {OTHER}. Received: {SUM}" in line
    assert files_in(cache) == set()
    assert server.asked == [None]


def test_a_page_for_browsers_is_recognised(server: FileServer) -> None:
    server.files["net.bin"] = b"\n<!DOCTYPE html><title>Sign in</title>"
    assert "It is a web page" in refused(DataError, f"{server.url}/net.bin")


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (403, DataError, "check the URL"),
        (404, DataError, "check the URL"),
        (416, DataError, "check the URL"),
        (429, EnvironmentFault, "try again later"),
        (503, EnvironmentFault, "try again later"),
    ],
)
def test_what_a_server_refuses(
    server: FileServer, cache: Path, status: int, kind: type[EdgeZooError], advice: str
) -> None:
    server.status = status
    line = refused(kind, f"{server.url}/net.bin?token=secret")
    assert re.search(rf"/net\.bin answers {status} \w.*; {advice}$", line)
    assert "secret" not in line
    assert files_in(cache) == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://no.invalid/x"])
def test_no_network(url: str) -> None:
    assert re.match(r"Cannot reach http.*; check the network", refused(EnvironmentFault, url))


def test_offline_uses_the_cache_and_nothing_else(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.OFFLINE_VARIABLE, "1")
    url = f"{server.url}/net.bin"
    assert "not in the cache" in refused(EnvironmentFault, url)
    assert server.asked == []
    monkeypatch.setenv(module.OFFLINE_VARIABLE, "0")
    path = fetch(url, sha256=SUM)
    monkeypatch.setenv(module.OFFLINE_VARIABLE, "1")
    assert fetch(url, sha256=SUM) == path
    path.write_bytes(b"")
    assert "damaged in the cache" in refused(EnvironmentFault, url)
    assert server.asked == [None]


def test_a_full_disk_is_named_and_gets_its_space_back(server: FileServer, cache: Path) -> None:
    part = part_of(cache, b"")
    part.unlink()
    part.symlink_to("/dev/full")
    line = refused(EnvironmentFault, f"{server.url}/net.bin")
    assert line.startswith(f"Cannot write {cache}")
    assert (
        "No space left on device; free some space, or name another folder in EDGEZOO_HOME" in line
    )
    assert not part.is_symlink()


def test_a_cache_that_cannot_be_made_is_named(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.HOME_VARIABLE, "/proc/nowhere")
    assert "EDGEZOO_HOME" in refused(EnvironmentFault, f"{server.url}/net.bin")
    assert server.asked == []


def test_of_several_at_a_time_one_does_the_work(server: FileServer) -> None:
    """Processes, as locks are the system's; each prints what it got."""
    script = "import sys; from model_zoo.fetch import fetch; print(fetch(sys.argv[1], sha256=sys.argv[2]))"
    words = [sys.executable, "-c", script, f"{server.url}/net.bin", SUM]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    (path,) = found
    assert Path(path).read_bytes() == CONTENT
    assert server.asked == [None]


def test_who_waits_says_so(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    with module.locked(SUM[:16]):
        waiting = threading.Thread(
            target=fetch, args=(f"{server.url}/net.bin",), kwargs={"sha256": SUM}
        )
        waiting.start()
        err = ""
        while "Waiting for another process" not in err:
            err += capsys.readouterr().err
        assert server.asked == []
    waiting.join()
    assert server.asked == [None]


def test_a_local_file_is_taken_where_it_lies(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "my net.bin"
    path.write_bytes(CONTENT)
    for origin in (path, str(path), path.as_uri(), f"file:{path}"):
        assert fetch(origin) == path
        assert fetch(origin, sha256=SUM) == path
    assert "is not the file asked for" in refused(DataError, str(path), sha256=OTHER)
    assert "No file at" in refused(DataError, str(tmp_path / "lost.bin"), sha256=None)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("origin", "sha256", "said"),
    [
        ("https://x.invalid/net.bin", None, "only with the SHA-256"),
        ("https://x.invalid/net.bin", "abc", "64 hexadecimal digits"),
        ("gs://bucket/net.bin", SUM, "http, https or file"),
        ("https://[::/x", SUM, "http, https or file"),
        ("https:///net.bin", SUM, "http, https or file"),
        ("file://elsewhere/net.bin", SUM, "http, https or file"),
        ("https://x.invalid/", SUM, "name of a file"),
        ("https://x.invalid/..", SUM, "name of a file"),
        ("https://x.invalid/a%2F..", SUM, "name of a file"),
        ("https://x.invalid/%00", SUM, "name of a file"),
    ],
)
def test_what_cannot_be_fetched_is_said_before_trying(
    origin: str, sha256: str | None, said: str
) -> None:
    assert said in refused(UsageError, origin, sha256=sha256)


def test_names_and_kinds() -> None:
    assert file_name("https://x/a%20b.tgz?c=d/e") == file_name("/x/a b.tgz") == "a b.tgz"
    assert file_name("https://x/a%2Fb") == "b"
    assert is_url("HTTPS://x/y")
    assert not is_url("x/y")
    assert not is_url("file:///x")
    assert shown("file:///x?y") == "file:///x?y"


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.HOME_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert home() == Path("/x/edgezoo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == Path.home() / ".cache" / "edgezoo"

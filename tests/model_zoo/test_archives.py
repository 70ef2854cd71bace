"""Archives of others: unpacked for as long as they are read, and nothing damaged or malicious gets through."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from file_server import serving

from hw_model.errors import DataError, EnvironmentFault
from hw_model.files import sha256_of
from model_zoo.archives import unpacked
from model_zoo.fetch import HOME_VARIABLE

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes an archive of members by name."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")

    def call(*members: str, name: str = "net.tar.gz") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as archive:
            for member in members:
                info = tarfile.TarInfo(member)
                info.size = 70_000
                archive.addfile(info, io.BytesIO(bytes(range(250)) * 280))
        return path

    return call


@pytest.mark.parametrize("name", ["net.tar", "net.tar.gz", "net.tgz"])
def test_an_archive_is_its_innermost_folder(write: Write, name: str) -> None:
    with unpacked(write("net/best/ckpt-1.index", "net/best/ckpt-1.data", name=name)) as folder:
        assert {path.name for path in folder.iterdir()} == {"ckpt-1.index", "ckpt-1.data"}
        assert (folder / "ckpt-1.index").stat().st_size == 70_000
    assert not folder.exists()
    with unpacked(write("ckpt-1.index", name=name)) as folder:
        assert (folder / "ckpt-1.index").is_file()


def test_one_behind_a_url(write: Write, tmp_path: Path) -> None:
    path = write("ckpt-1.index")
    with serving({"net.tar.gz": path.read_bytes()}) as server:
        url, wanted = f"{server.url}/net.tar.gz", sha256_of(path)
        for _ in range(2):
            with unpacked(url, sha256=wanted, progress=False) as folder:
                assert (folder / "ckpt-1.index").is_file()
        assert server.asked == [None]


def test_what_is_no_archive_is_left_where_it_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "ckpt-171600", tmp_path / "lost.tar.gz"):
        with unpacked(path) as same:
            assert same == path
    with pytest.raises(DataError, match="No file"), unpacked(tmp_path / "x", sha256="0" * 64):
        pass


@pytest.mark.parametrize("member", ["../evil", "a/../../evil"])
def test_a_member_outside_its_folder_is_refused(write: Write, member: str) -> None:
    with pytest.raises(DataError, match="no safe archive"), unpacked(write(member)):
        pass


def test_an_absolute_path_stays_inside(write: Write) -> None:
    with unpacked(write("/etc/evil")) as folder:
        assert (folder / "evil").is_file()
    assert not Path("/etc/evil").exists()


def test_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="no safe archive"), unpacked(path):
        pass


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6])
def test_a_truncated_archive_is_named(write: Write, share: float) -> None:
    path = write("a", "b")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"net\.tar\.gz is damaged"), unpacked(path):
        pass


def test_no_room_to_unpack_is_the_machines_fault(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = write("a")
    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(EnvironmentFault, match="No space left on device.*TMPDIR"), unpacked(path):
        pass

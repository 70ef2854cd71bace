"""Fetches the Debian packages of the composed scenes without root, on machines that have apt."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hw_model.errors import EnvironmentFault
from pipelines.data.scenes.catalogue import FOLDERS, PACKAGES


def fetch_assets(folder: Path) -> None:
    """Unpacks what scenes need from the packages into `folder`, from the system's apt sources.

    Raises:
        EnvironmentFault: no apt on this machine, no network, or the packages are not to be had.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise EnvironmentFault(
            f"{' and '.join(missing)} not found: unpack the Debian packages {', '.join(PACKAGES)} "
            f"into {folder} by hand (dpkg-deb -x FILE {folder})."
        )
    folder.mkdir(parents=True, exist_ok=True)
    # On the same disk as `folder`: the finished folders are moved there in one step each.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as name:
        work = Path(name)
        _download(work)
        for package in sorted(work.glob("*.deb")):
            _run(work, "dpkg-deb", "-x", str(package), str(work / "unpacked"))
        for part in FOLDERS:
            target = folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                shutil.rmtree(target)
            (work / "unpacked" / part).rename(target)


def _download(work: Path) -> None:
    """The .deb files, into `work`; with package lists of its own where the system's are missing."""
    try:
        _run(work, "apt-get", "download", *PACKAGES)
    except EnvironmentFault:
        for part in ("lists/partial", "archives/partial"):
            (work / part).mkdir(parents=True)
        own = [
            *("-o", f"Dir::State::Lists={work / 'lists'}"),
            *("-o", f"Dir::Cache={work}", "-o", "Debug::NoLocking=1"),
        ]
        _run(work, "apt-get", *own, "update")
        _run(work, "apt-get", *own, "download", *PACKAGES)


def _run(work: Path, *command: str) -> None:
    # Standard output belongs to the answer of the command line; apt's progress goes to standard error.
    done = subprocess.run(command, cwd=work, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = (lines or done.stderr.splitlines() or ["no reason given"])[0]
        raise EnvironmentFault(
            f"Cannot fetch the Debian packages {', '.join(PACKAGES)}: `{command[0]} {command[-1]}` "
            f"says {reason!r}. Check the network and the sources of apt."
        )

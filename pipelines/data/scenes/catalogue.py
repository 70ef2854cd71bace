"""Which files of the Debian packages the composed scenes are made of, and which of them are held out.

Everything about the choice is in the tables here. Left out on purpose: mirrored copies, silhouettes,
and backgrounds that show an object of one of the classes.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from hw_model.errors import DataError

Side = Literal["seen", "held_out"]

PACKAGES = ("tuxpaint-stamps-default", "plasma-workspace-wallpapers", "mate-backgrounds")
LICENCE = "cut-outs GPL-2, backgrounds GPL-2+ (Debian packages " + ", ".join(PACKAGES) + ")"

STAMPS = Path("usr/share/tuxpaint/stamps")
WALLPAPERS = Path("usr/share/wallpapers")
MATE = Path("usr/share/backgrounds/mate")
FOLDERS = (STAMPS, WALLPAPERS, MATE)

#: Share of the objects of each class, and of the backgrounds, that only `test_held_out` shows.
HELD_OUT_SHARE = 0.2
HELD_OUT_AT_LEAST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectClass:
    """Cut-outs of one class, as patterns of paths below the stamps folder (`*` crosses folders)."""

    name: str
    take: tuple[str, ...]
    leave: tuple[str, ...] = ()


CLASSES = (
    ObjectClass(name="bird", take=("animals/birds/*",), leave=("*/cartoon/*",)),
    ObjectClass(
        name="mammal",
        take=("animals/mammals/*", "animals/marsupials/*"),
        leave=("*/cartoon/*", "*/toys/*", "*/aquatic/*", "*/echidna.png", "*/hedgehog.png"),
    ),
    ObjectClass(
        name="sea_animal",
        take=(
            "animals/fish/*",
            "*/aquatic/dolphin.png",
            "*/aquatic/orca.png",
            "*/aquatic/whale.png",
        ),
    ),
    ObjectClass(
        name="insect",
        take=("animals/insects/*", "seasonal/easter/butterfly.png"),
        leave=("*/Brown_slug.png", "*/Woodlouse.png", "*/snail*", "*/spider*"),
    ),
    ObjectClass(name="produce", take=("food/fruit/*", "food/vegetables/*", "plants/mushrooms/*")),
    ObjectClass(name="flower", take=("plants/flowers/*",)),
    ObjectClass(name="building", take=("town/houses/*",)),
    ObjectClass(
        name="road_sign",
        take=("town/roadsigns/*", "*/trainSign.png"),
        leave=("*/stoplight*", "*/traffic_cone.png", "*/railroad_crossing.png"),
    ),
    ObjectClass(name="coin", take=("symbols/money/*/coins/*", "symbols/money/japanese/*")),
    ObjectClass(
        name="vehicle",
        take=("vehicles/*", "military/vehicles/*"),
        leave=("*/trainSign.png", "*/7spoke256.png", "*/wheel_tractor.png", "*/sedan_police.png"),
    ),
    ObjectClass(name="instrument", take=("hobbies/music/*",)),
    ObjectClass(
        name="tool",
        take=("household/tools/*", "household/arttools/*", "*/utensils/nutcracker.png"),
        leave=("*/cementmixer.png", "*/toolbox.png"),
    ),
    ObjectClass(
        name="clothing",
        take=("clothes/*", "seasonal/christmas/santahat.png", "seasonal/christmas/stocking.png"),
        leave=("*/armor/*", "*/button.png", "*/clothespin*"),
    ),
)
CLASS_NAMES = ("background", *(entry.name for entry in CLASSES))

# One file per picture: the smallest with enough pixels where the package has several sizes.
_WALLPAPERS = {
    "Altai": "1080x1920.png",
    "Autumn": "2560x1600.jpg",
    "BytheWater": "2560x1600.jpg",
    "Canopee": "3840x2160.png",
    "Cascade": "3840x2160.png",
    "Cluster": "3840x2160.png",
    "ColdRipple": "2560x1600.jpg",
    "ColorfulCups": "2560x1600.jpg",
    "DarkestHour": "2560x1600.jpg",
    "Elarun": "2560x1600.png",
    "FallenLeaf": "2560x1600.jpg",
    "Flow": "5120x2880.jpg",
    "Grey": "2560x1600.jpg",
    "Honeywave": "5120x2880.jpg",
    "IceCold": "5120x2880.png",
    "Kite": "2560x1600.jpg",
    "Kokkini": "3840x2160.png",
    "MilkyWay": "1080x1920.png",
    "OneStandsOut": "2560x1600.jpg",
    "Opal": "3840x2160.png",
    "PastelHills": "3200x2000.jpg",
    "Patak": "1080x1920.png",
    "Path": "2560x1600.jpg",
    "Shell": "5120x2880.jpg",
    "Volna": "5120x2880.jpg",
    "summer_1am": "2560x1600.jpg",
}
_MATE = (
    "desktop/Stripes.png",
    "desktop/Ubuntu-Mate-Warm-no-logo.png",
    "nature/Aqua.jpg",
    "nature/Blinds.jpg",
    "nature/Dune.jpg",
    "nature/GreenMeadow.jpg",
    "nature/RainDrops.jpg",
    "nature/Storm.jpg",
    "nature/Wood.jpg",
)
BACKGROUNDS = (
    *(WALLPAPERS / name / "contents/images" / file for name, file in _WALLPAPERS.items()),
    *(MATE / file for file in _MATE),
)


def asset_roots() -> tuple[Path, Path]:
    """Folders that may hold `usr/share/...` of the packages: the one of `make assets`, then the system."""
    own = os.environ.get("EDGEZOO_ASSETS") or "~/.cache/edgezoo/assets"
    return Path(own).expanduser(), Path("/")


def is_present() -> bool:
    """Whether one of `asset_roots()` has all the packages."""
    return any(_has_all(root) for root in asset_roots())


def find_root() -> Path:
    """The first of `asset_roots()` that has all the packages.

    Raises:
        DataError: none has.
    """
    for root in asset_roots():
        if _has_all(root):
            return root
    raise DataError(
        f"composed_scenes needs the Debian packages {', '.join(PACKAGES)}, found neither in "
        f"{asset_roots()[0]} nor in /usr/share. Load it with download=True (--download; apt, but no "
        f"root), run `make assets`, or: apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    )


def cutout_files(root: Path, side: Side) -> tuple[tuple[str, ...], ...]:
    """Paths of cut-outs below `root`, one tuple for each of `CLASSES`."""
    stamps = root / STAMPS
    paths = sorted(path.relative_to(stamps).as_posix() for path in stamps.rglob("*.png"))
    paths = [path for path in paths if "_mirror" not in path]
    chosen = []
    for entry in CLASSES:
        own = [path for path in paths if _any(path, entry.take) and not _any(path, entry.leave)]
        _check_enough(f"cut-outs of class {entry.name!r}", own, stamps)
        chosen.append(tuple((STAMPS / path).as_posix() for path in on_side(own, side)))
    return tuple(chosen)


def background_files(root: Path, side: Side) -> tuple[str, ...]:
    """Paths of backgrounds below `root`."""
    present = [path.as_posix() for path in BACKGROUNDS if (root / path).is_file()]
    _check_enough("backgrounds", present, root)
    return tuple(on_side(present, side))


def on_side(names: Sequence[str], side: Side) -> list[str]:
    """The seen or the held-out ones of `names`, by a hash of the name: the same on every machine.

    >>> on_side(["a", "b", "c", "d", "e", "f"], "held_out")
    ['c', 'd', 'f']
    """
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(HELD_OUT_AT_LEAST, math.ceil(len(names) * HELD_OUT_SHARE))
    return sorted(ranked[:count] if side == "held_out" else ranked[count:])


def fingerprint(root: Path) -> str:
    """Twelve hex digits that change when a file in use is added, removed or of another size."""
    digest = hashlib.sha256()
    sides: tuple[Side, Side] = ("seen", "held_out")
    for side in sides:
        files = [path for group in cutout_files(root, side) for path in group]
        for path in (*files, *background_files(root, side)):
            digest.update(f"{side} {path} {(root / path).stat().st_size}\n".encode())
    return digest.hexdigest()[:12]


def _has_all(root: Path) -> bool:
    return all((root / folder).is_dir() for folder in FOLDERS)


def _any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _check_enough(what: str, names: Sequence[str], where: Path) -> None:
    if len(names) < 2 * HELD_OUT_AT_LEAST:
        raise DataError(
            f"{where} has {len(names)} {what}; at least {2 * HELD_OUT_AT_LEAST} are needed. Install "
            f"the packages again: {', '.join(PACKAGES)}"
        )

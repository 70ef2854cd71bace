"""Small pieces of SVG: escaped text, shapes with tooltips, logarithmic axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


def tag(name: str, content: str = "", **attributes: object) -> str:
    """One element; underscores in attribute names become hyphens, a trailing one is dropped."""
    inside = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value), quote=True)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{inside}>{content}</{name}>" if content else f"<{name}{inside}/>"


def text(x: float, y: float, label: str, **attributes: object) -> str:
    """A label."""
    return tag("text", escape(label), x=x, y=y, **attributes)


def tooltip(label: str) -> str:
    """What a browser shows while the pointer rests on the element this is put in."""
    return tag("title", escape(label))


def picture(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """A whole drawing that scales with the page; `label` is read out by screen readers."""
    return tag(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


def _number(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAxis:
    """Maps positive values to pixels, decades evenly spaced."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel of a value, held inside the axis."""
        value = min(max(value, self.low), self.high)
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """Powers of ten on the axis."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]

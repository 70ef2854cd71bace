"""Line and scatter charts as inline SVG: axes with round ticks, one title per point, colours by CSS class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.report.markup import Html, el, join

WIDTH, HEIGHT = 720.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 18.0, 16.0, 50.0
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A point with the text a pointer shows; `kind` is its CSS class."""

    x: float
    y: float
    title: str
    kind: str = "dot"
    radius: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through points; `steps` holds each value until the next point."""

    points: tuple[Point, ...]
    kind: str = "line"
    label: str = ""
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line at a value, with a label near its top; `kind` is its CSS class."""

    x: float
    label: str
    kind: str = "budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows; `rug` values are short strokes on the x axis."""

    x_label: str
    y_label: str
    alt: str
    dots: tuple[Dot, ...] = ()
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    rug: tuple[float, ...] = ()
    x_log: bool = False
    y_log: bool = False
    #: Ticks of the x axis at whole numbers only.
    whole_x: bool = False
    y_format: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    x_format: Callable[[float], str] = field(default=lambda value: f"{value:g}")


def draw(chart: Chart) -> Html:
    """The chart as an `<svg>` in a box that scrolls on narrow screens; an empty chart says so."""
    xs = [dot.x for dot in chart.dots] + [x for line in chart.lines for x, _ in line.points]
    ys = [dot.y for dot in chart.dots] + [y for line in chart.lines for _, y in line.points]
    if not xs:
        return el("p", "Nothing to show yet.", class_="note")
    xs += [mark.x for mark in chart.marks]
    to_x = _scale(xs + list(chart.rug), LEFT, WIDTH - RIGHT, log=chart.x_log)
    to_y = _scale(ys, HEIGHT - BOTTOM, TOP, log=chart.y_log)
    body = join(
        (
            _axes(chart, to_x, to_y),
            join(_rug(value, to_x) for value in chart.rug),
            join(_mark(mark, to_x, row) for row, mark in enumerate(chart.marks)),
            join(_line(line, to_x, to_y) for line in chart.lines),
            join(_dot(dot, to_x, to_y) for dot in chart.dots),
        )
    )
    svg = el(
        "svg",
        body,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=chart.alt,
        class_="chart",
    )
    return el("div", svg, class_="scroll")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values to pixels."""

    low: float
    high: float
    from_px: float
    to_px: float
    log: bool

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return self.from_px + (at - low) / (high - low) * (self.to_px - self.from_px)

    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def _scale(values: Sequence[float], from_px: float, to_px: float, *, log: bool) -> _Scale:
    """A scale with a little room at both ends."""
    low, high = min(values), max(values)
    if log and low > 0:
        return _Scale(low / 1.08, high * 1.08, from_px, to_px, True)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return _Scale(low - room, high + room, from_px, to_px, False)


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round values between two limits, about as many as wanted.

    >>> ticks(0.13, 0.97)
    [0.2, 0.4, 0.6, 0.8]
    """
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if raw <= power * factor)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten; evenly spaced values where those are too few.

    >>> log_ticks(0.4, 30)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [round(value, 12) for value in found if low <= value <= high]
    return inside if len(inside) >= 3 else ticks(low, high)


def _axes(chart: Chart, to_x: _Scale, to_y: _Scale) -> Html:
    floor = HEIGHT - BOTTOM
    parts = []
    for value in to_y.ticks():
        y = to_y(value)
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(el("text", chart.y_format(value), x=LEFT - 8, y=y + 4, class_="tick end"))
    for value in to_x.ticks():
        if chart.whole_x and value != round(value):
            continue
        x = to_x(value)
        parts.append(el("line", x1=x, x2=x, y1=floor, y2=floor + 5, class_="axis"))
        parts.append(el("text", chart.x_format(value), x=x, y=floor + 20, class_="tick mid"))
    parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=floor, y2=floor, class_="axis"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(el("text", chart.x_label, x=middle, y=HEIGHT - 8, class_="label mid"))
    centre = (TOP + floor) / 2
    parts.append(
        el("text", chart.y_label, x=15, y=centre, class_="label mid",
           transform=f"rotate(-90 15 {centre:g})")
    )  # fmt: skip
    return join(parts)


def _rug(value: float, to_x: _Scale) -> Html:
    x, floor = to_x(value), HEIGHT - BOTTOM
    return el("line", x1=x, x2=x, y1=floor - 7, y2=floor, class_="rug")


def _mark(mark: Mark, to_x: _Scale, row: int) -> Html:
    """Each label a line below the one before, since marks may be close."""
    x = to_x(mark.x)
    right = x > WIDTH * 0.75
    label = el(
        "text",
        mark.label,
        x=x - 6 if right else x + 6,
        y=TOP + 10 + 14 * row,
        class_="mark end" if right else "mark",
    )
    return join((el("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_=mark.kind), label))


def _line(line: Line, to_x: _Scale, to_y: _Scale) -> Html:
    path = ""
    for index, (x, y) in enumerate(line.points):
        here = f"{to_x(x):.1f}", f"{to_y(y):.1f}"
        if index == 0:
            path = f"M{here[0]} {here[1]}"
        else:
            path += f"H{here[0]}V{here[1]}" if line.steps else f"L{here[0]} {here[1]}"
    title = el("title", line.label) if line.label else None
    return el("path", title, d=path, class_=line.kind)


def _dot(dot: Dot, to_x: _Scale, to_y: _Scale) -> Html:
    return el(
        "circle",
        el("title", dot.title),
        cx=to_x(dot.x),
        cy=to_y(dot.y),
        r=dot.radius,
        class_=dot.kind,
    )

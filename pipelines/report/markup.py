"""HTML elements as values: whatever is not markup already is escaped, so no name or path can break a page."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = frozenset({"br", "hr", "img", "meta", "link", "input"})


class Html(str):
    """Text that is markup; made by `el`, `join` and `trusted` alone."""

    __slots__ = ()


def trusted(text: str) -> Html:
    """Markup from this project's own code, taken as it is."""
    return Html(text)


def escape(value: object) -> Html:
    """Any value as text; markup stays as it is.

    >>> escape("<b>"), escape(el("b", "x"))
    ('&lt;b&gt;', '<b>x</b>')
    """
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def join(parts: Iterable[object]) -> Html:
    """Several pieces in a row; None is left out."""
    return Html("".join(escape(part) for part in parts if part is not None))


def el(tag: str, *children: object, **attributes: Any) -> Html:
    """One element; `class_` is `class`, `stroke_width` is `stroke-width`, an attribute that is None is left out.

    >>> el("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{shown}>")
    return Html(f"<{tag}{shown}>{join(children)}</{tag}>")


def table(
    headings: Iterable[object], rows: Iterable[Iterable[object]], *, numeric: Iterable[int] = ()
) -> Html:
    """A table that scrolls sideways on a narrow screen; columns `numeric` are aligned to the right."""
    right = frozenset(numeric)

    def line(tag: str, cells: Iterable[object]) -> Html:
        return el(
            "tr",
            join(
                el(tag, cell, class_="num" if index in right else None)
                for index, cell in enumerate(cells)
            ),
        )

    head = el("thead", line("th", headings))
    body = el("tbody", join(line("td", row) for row in rows))
    return el("div", el("table", head, body), class_="scroll")


def swatch(rgb: Sequence[int]) -> Html:
    """A small square of a colour."""
    red, green, blue = rgb
    return el("span", "", class_="swatch", style=f"background:rgb({red},{green},{blue})")


def _number(value: Any) -> Any:
    """Coordinates with two decimals: a hundredth of a pixel is not seen, and pages stay small."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value

"""A self-contained page: title, sections, style sheet inside, nothing loaded from anywhere."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hw_model.files import write_text
from pipelines.report.markup import Html, el, join, trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page under its own heading."""

    title: str
    body: Html

    @property
    def anchor(self) -> str:
        """What links to this section end in.

        >>> Section(title="Cost: Pixel 6", body=Html()).anchor
        'cost-pixel-6'
        """
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def render(title: str, lead: str, sections: Sequence[Section], *, footer: str = "") -> str:
    """The page as HTML text."""
    links = (el("a", section.title, href=f"#{section.anchor}") for section in sections)
    navigation = el("nav", join(links)) if len(sections) > 1 else None
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", trusted(stylesheet())),
    )
    body = el(
        "main",
        el("header", el("h1", title), el("p", lead, class_="lead"), navigation),
        join(
            el("section", el("h2", section.title), section.body, id=section.anchor)
            for section in sections
        ),
        el("footer", footer) if footer else None,
    )
    return "<!doctype html>\n" + el("html", head, el("body", body), lang="en") + "\n"


def write(
    path: str | os.PathLike[str],
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    footer: str = "",
) -> Path:
    """Writes the page, whole or not at all; returns its path."""
    write_text(path, render(title, lead, sections, footer=footer))
    return Path(path)


@cache
def stylesheet() -> str:
    """The one style sheet of all pages."""
    return Path(__file__).with_name("theme.css").read_text(encoding="utf-8")


def figures(pairs: Iterable[tuple[object, object]]) -> Html:
    """Large numbers, each with what it is below."""
    return el(
        "div",
        join(el("div", el("b", value), el("span", label)) for value, label in pairs),
        class_="figures",
    )


def note(*parts: object) -> Html:
    """A remark in small print."""
    return el("p", *parts, class_="note")


def checks(items: Iterable[tuple[bool, object]]) -> Html:
    """A list of statements, each with a tick or a cross."""
    return el(
        "ul",
        join(el("li", text, class_="good" if holds else "bad") for holds, text in items),
        class_="checks",
    )


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """What the colours of a chart mean: (CSS class of a dot or line, words)."""
    return el("ul", join(el("li", _swatch(kind), text) for kind, text in entries), class_="legend")


def _swatch(kind: str) -> Html:
    if kind.startswith("line"):
        shape = el("path", d="M1 6H21", class_=kind)
    elif kind == "rug":
        shape = join(el("line", x1=x, x2=x, y1=2, y2=11, class_=kind) for x in (6, 11, 16))
    elif kind in ("budget", "published"):
        shape = el("line", x1=1, x2=21, y1=6, y2=6, class_=kind)
    else:
        shape = el("circle", cx=11, cy=6, r=5, class_=kind)
    return el("svg", shape, viewBox="0 0 22 12", aria_hidden="true")

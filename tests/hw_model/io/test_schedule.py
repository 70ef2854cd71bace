"""A schedule as text and as a page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hw_model.graph import GraphBuilder
from hw_model.io.schedule import (
    COLOURS,
    format_schedule,
    render_schedule,
    verdict,
    write_schedule_html,
)
from hw_model.mapping.assign import Assignment, assign, targets_named


def _schedule(words: str, name: str = "net") -> Assignment:
    b = GraphBuilder()
    x = b.conv(b.input((1, 32, 32, 16)), 64, 3, name=f"{name} first")
    x = b.dense(b.global_pool(x, name="pool"), 2000, name=f"{name} last")
    return assign(b.finish(x, name=name), targets_named(words))


@pytest.fixture(scope="module")
def mixed() -> Assignment:
    """Two calls."""
    found = _schedule("mensa")
    assert len(found.segments) > 1
    return found


def test_the_text_has_every_call_and_every_accelerator(mixed: Assignment) -> None:
    text = format_schedule(mixed)
    assert f"latency  {mixed.latency_ms:.3g} ms" in text
    assert verdict(mixed) in text
    assert text.count("assumed to be off by 50%") == len(mixed.alone)
    assert "mensa_pascal assumed to be off by 50%" in render_schedule(mixed)
    for segment in mixed.segments:
        assert re.search(rf"  {segment.target_name} .*{segment.latency_ms:.3f}", text)
    for single in mixed.alone:
        assert re.search(rf"  {single.target_name} .*{single.latency_ms:.3f} ms", text)


def test_one_call_is_said_to_be_the_best() -> None:
    assert "pixel6 alone: no cut pays" in verdict(_schedule("pixel6,coral_usb"))


def test_the_page_draws_each_call_once_and_loads_nothing(mixed: Assignment) -> None:
    page = render_schedule(mixed)
    assert not re.search(r"(src|href|@import|url\()", page)
    assert page.count("<rect") == 2 * len(mixed.segments) + len(mixed.alone) + 1
    for index, segment in enumerate(mixed.segments):
        assert f"{segment.first}" in page, index
    assert all(COLOURS[index] in page for index in range(len(mixed.alone)))
    assert "nan" not in page.lower()


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    found = _schedule("mensa", "</td><script>x()</script>")
    write_schedule_html(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    parser = HTMLParser()
    parser.feed(page)
    parser.close()

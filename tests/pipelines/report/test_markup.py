"""Elements, charts and pictures: escaped, readable by a parser, and without anything loaded from elsewhere."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import DataError, EnvironmentFault
from pipelines.report import png
from pipelines.report.chart import Chart, Dot, Line, Mark, draw, log_ticks, ticks
from pipelines.report.markup import Html, el, escape, join, table
from pipelines.report.page import Section, render, write

HOSTILE = "<script>alert(1)</script>\"'&"


@given(st.text())
def test_text_of_an_element_reads_back(text: str) -> None:
    legal = "".join(c for c in text if c == "\n" or c == "\t" or 0x20 <= ord(c) < 0xD800)
    element = ET.fromstring(el("p", legal, title=legal.replace("\n", " ").replace("\t", " ")))
    assert (element.text or "") == legal
    assert element.get("title") == legal.replace("\n", " ").replace("\t", " ")


def test_markup_is_escaped_once() -> None:
    inner = el("b", HOSTILE)
    assert escape(inner) is inner
    assert el("p", inner, None, "a") == f"<p>{inner}a</p>"
    assert "<script>" not in inner


def test_attributes_are_named_as_in_html_and_left_out_when_none() -> None:
    assert el("circle", class_="dot", stroke_width=1.0, id=None) == (
        '<circle class="dot" stroke-width="1"></circle>'
    )
    assert el("img", src="x") == '<img src="x">'


def test_joined_parts_are_markup() -> None:
    assert isinstance(join(["a", None, el("b")]), Html)
    assert join(["<", None, el("br")]) == "&lt;<br>"


def test_a_table_aligns_its_numbers() -> None:
    drawn = table(("name", "ms"), [("a<b", 1)], numeric=(1,))
    assert '<td class="num">1</td>' in drawn
    assert "a&lt;b" in drawn


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 8
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)


@given(st.floats(1e-3, 1e3), st.floats(1.01, 1e4))
def test_log_ticks_are_inside(low: float, ratio: float) -> None:
    found = log_ticks(low, low * ratio)
    assert len(found) >= 2
    assert all(low * 0.999 <= value <= low * ratio * 1.001 for value in found)


def chart(**changes: object) -> Chart:
    values: dict = {
        "x_label": "x",
        "y_label": HOSTILE,
        "alt": "a chart",
        "dots": (Dot(x=1.0, y=2.0, title=HOSTILE), Dot(x=3.0, y=1.0, title="second")),
        "lines": (Line(points=((1.0, 1.0), (2.0, 3.0)), steps=True, label=HOSTILE),),
        "marks": (Mark(x=2.5, label=HOSTILE),),
        "rug": (1.5, 2.0),
    }
    return Chart(**{**values, **changes})


def svg_of(drawn: Html) -> ET.Element:
    (svg,) = ET.fromstring(drawn).iter("svg")
    return svg


@pytest.mark.parametrize("x_log", [False, True])
def test_a_chart_draws_all_its_parts_inside_its_frame(x_log: bool) -> None:
    svg = svg_of(draw(chart(x_log=x_log)))
    circles = list(svg.iter("circle"))
    assert [circle.find("title").text for circle in circles] == [HOSTILE, "second"]
    assert len([line for line in svg.iter("line") if line.get("class") == "rug"]) == 2
    width, height = map(float, svg.get("viewBox").split()[2:])
    for circle in circles:
        assert 0 < float(circle.get("cx")) < width
        assert 0 < float(circle.get("cy")) < height
    assert float(circles[0].get("cx")) < float(circles[1].get("cx"))
    assert float(circles[0].get("cy")) < float(circles[1].get("cy"))


def test_a_chart_of_one_point_and_of_none() -> None:
    one = chart(dots=(Dot(x=0.0, y=0.0, title="t"),), lines=(), marks=(), rug=())
    assert len(list(svg_of(draw(one)).iter("circle"))) == 1
    assert "Nothing to show" in draw(chart(dots=(), lines=()))


def test_whole_numbers_on_request() -> None:
    few = chart(dots=(Dot(x=1, y=1, title=""), Dot(x=2, y=2, title="")), lines=(), marks=(), rug=())
    svg = svg_of(draw(Chart(**{**{f: getattr(few, f) for f in few.__slots__}, "whole_x": True})))
    labels = [text.text for text in svg.iter("text") if text.get("class") == "tick mid"]
    assert labels == ["1", "2"]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (4, 6, 3)])
def test_pictures_read_back_pixel_by_pixel(shape: tuple[int, ...]) -> None:
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    uri = png.data_uri(image)
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as read:
        assert np.array_equal(np.asarray(read), np.squeeze(image))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (1, 4, 4, 3)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="A picture is"):
        png.encode(np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="float64"):
        png.encode(np.zeros((4, 4)))


def test_a_page_escapes_and_loads_nothing() -> None:
    page = render(HOSTILE, HOSTILE, [Section(title=HOSTILE, body=el("p", HOSTILE))], footer=HOSTILE)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6
    assert not re.search(r"https?:|@import|url\(|<link|src=", page)


def test_sections_are_linked() -> None:
    sections = [Section(title="First part", body=Html()), Section(title="B", body=Html())]
    page = render("t", "l", sections)
    assert '<a href="#first-part">First part</a>' in page
    assert '<section id="first-part">' in page


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"page\.html"):
        write(tmp_path / "file" / "page.html", "t", "l", [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""A report as text and as a page: complete, self-contained, well formed, and safe against odd names."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hw_model import estimate, list_targets
from hw_model.cost import CEILINGS, CostReport
from hw_model.errors import EnvironmentFault
from hw_model.graph import GraphBuilder
from hw_model.io.html import COLOURS, render_html, write_html
from hw_model.io.svg import LogAxis, tag
from hw_model.io.text import BINDING_WORDS, format_report, time_by_binding_us
from model_zoo.registry import spec_of

VOID = {"meta", "rect", "line", "circle"}


class Page(HTMLParser):
    """Remembers open elements, and which elements and texts a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID or tag == "circle":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID - {"circle"}:
            self.open.append(tag)
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report() -> CostReport:
    """S on Pixel 6."""
    return estimate(spec_of("mobilenet_edgetpu_v2_s"), target="pixel6")


def read(page: str) -> Page:
    """The page parsed, every element closed."""
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_text_answers_first(report: CostReport) -> None:
    lines = format_report(report).splitlines()
    assert "Pixel 6" in lines[0]
    assert lines[1].startswith(f"  latency  {report.latency_ms:.3g} ms")
    assert lines[2].startswith(f"  energy   {report.energy_mj:.3g} mJ")
    assert max(map(len, lines)) <= 140


def test_the_text_shows_as_many_operations_as_asked_for(report: CostReport) -> None:
    whys = [row.why for row in report.slowest(3)]
    text = format_report(report, slowest=3)
    assert all(why in text for why in whys)
    assert len(format_report(report, slowest=None).splitlines()) > len(report.rows)
    assert "operations" not in format_report(report, slowest=0).split("Where the time goes")[0]


def test_shares_of_time_add_up(report: CostReport) -> None:
    parts = time_by_binding_us(report)
    assert sum(parts.values()) == pytest.approx(report.latency_ms * 1e3)
    assert list(parts.values()) == sorted(parts.values(), reverse=True)


def test_every_ceiling_has_a_word_and_a_colour() -> None:
    assert set(COLOURS) == set(BINDING_WORDS)
    assert set(CEILINGS) < set(BINDING_WORDS)


@pytest.mark.parametrize("target", list_targets())
def test_the_page_is_whole_and_loads_nothing(target: str) -> None:
    report = estimate(spec_of("efficientnet_edgetpu_s"), target=target)
    page = render_html(report)
    parsed = read(page)
    assert not re.search(r"""(src|href|@import|url\()""", page)
    assert set(parsed.seen) & {"script", "link", "iframe", "img"} == set()
    assert parsed.seen.count("svg") == 4
    with_macs = [row for row in report.rows if row.macs]
    assert parsed.seen.count("circle") == len(with_macs)
    for row in report.rows:
        assert row.name in parsed.text
    for constant in report.target.constants:
        assert constant.path in parsed.text
    assert "nan" not in page.lower().replace("nanum", "")


def test_a_network_without_multiplications_has_a_page() -> None:
    b = GraphBuilder()
    x = b.input((1, 8, 8, 4))
    graph = b.finish(b.add(x, x, name="add"), name="sum")
    assert "No operation multiplies." in read(render_html(estimate(graph, target="pixel6"))).text


def test_names_cannot_break_the_page(report: CostReport) -> None:
    b = GraphBuilder()
    name = "</td><script>alert('x')</script>&\""
    graph = b.finish(b.conv(b.input((1, 8, 8, 4)), 8, 3, name=name), name=name)
    page = render_html(estimate(graph, target="pixel6"))
    assert "<script" not in page
    assert name in read(page).text


def test_the_page_is_written_or_nothing_is(report: CostReport, tmp_path: Path) -> None:
    write_html(report, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == render_html(report)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="Nothing was changed"):
        write_html(report, tmp_path / "file" / "page.html")


def test_tags_escape_their_attributes() -> None:
    assert tag("rect", class_="a<b", stroke_width=2.0) == '<rect class="a&lt;b" stroke-width="2"/>'


def test_decades_lie_evenly_on_a_logarithmic_axis() -> None:
    axis = LogAxis(low=0.1, high=1000.0, start=0.0, end=400.0)
    assert [axis.at(value) for value in axis.decades()] == pytest.approx([0, 100, 200, 300, 400])
    assert axis.at(1e9) == 400.0


def test_figures_without_energy_do_not_divide_by_zero(report: CostReport) -> None:
    empty = replace(report.target.energy, **{
        name: 0.0 for name in report.target.energy.__slots__ if name.endswith(("_pj", "_w"))
    })  # fmt: skip
    free = estimate(report.graph, target=replace(report.target, energy=empty))
    assert free.energy_mj == 0.0
    read(render_html(free))

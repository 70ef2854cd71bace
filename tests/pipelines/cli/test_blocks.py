"""`edgezoo blocks`: the page, its figures as JSON and CSV, and the file a search reads."""

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

SMALL = ("blocks", "--shapes", "14x14x64,7x7x96", "--kernels", "3", "--expansions", "4")


def test_the_page_stands_alone_and_shows_every_block(run: "Run") -> None:
    data = run(*SMALL, "--csv", "b.csv", "--json").json
    assert data["target"] == "pixel6"
    assert 0 < data["declared_error"] < 1
    assert data["pruning"] is None
    page = Path(data["page"]).read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert "<script" not in page
    for title in ("Latency against parameters", "Energy", "Utilization", "Never useful here"):
        assert title in page
    for block in data["blocks"]:
        assert f"{block['params']:,} parameters" in page
    with Path("b.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["params"] for row in rows] == [str(block["params"]) for block in data["blocks"]]


def test_the_text_names_the_fastest_block_of_every_shape(run: "Run") -> None:
    ran = run(*SMALL, "--target", "coral_usb", "--out", "c.html")
    assert ran.code == 0, ran.err
    assert "7x7x96" in ran.out
    assert "Page written to c.html" in ran.out
    assert not Path("blocks.html").exists()


def test_the_prune_file_goes_into_a_search(run: "Run") -> None:
    words = (*SMALL, "--prune-space", "p.json", "--image-size", 28, "--width", 0.25)
    data = run(*words, "--json").json
    assert 0 < data["pruning"]["pruned_share"] < 1
    assert "What a search leaves out" in Path("blocks.html").read_text(encoding="utf-8")
    search = ("search", "run", "--quality", "proxy", "--budget", "1ms", "--image-size", 28)
    prune = ("--width", 0.25, "--trials", 4, "--prune", "p.json")
    assert run(*search, *prune, "--study", "s", "--json").json["trials"] == 4
    assert json.loads(Path("s/study.json").read_text())["config"]["prune_sha256"]
    assert "is for target pixel6" in run(*search, *prune, "--target", "pixel4").failed(2)
    assert "another image size" in run(*search, "--prune", "p.json").failed(2)
    assert "Cannot read" in run(*search, "--prune", "q.json").failed(3)
    Path("p.json").write_text("{}")
    assert "damaged" in run(*search, "--prune", "p.json").failed(3)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--shapes", "14x14"), "such as 28x28x96"),
        (("--shapes", "14x14x0"), "such as 28x28x96"),
        (("--shapes", "14x14x99999999"), "such as 28x28x96"),
        (("--kernels", "3,x"), "--kernels are whole numbers"),
        (("--kernels", "33"), "kernel"),
        (("--expansions", ""), "--expansions are whole numbers"),
        (("--group-sizes", "-1"), "--group-sizes are whole numbers"),
        (("--stride", "0"), "stride"),
        (("--target", "pixle6"), "pixel6"),
        (("--evaluator", "analytic"), "analytical"),
        (("--prune-space", "p.json", "--space", "mobilenet"), "mobilenet_edgetpu_v2"),
        (("--prune-space", "p.json", "--image-size", "0"), "--image-size"),
    ],
)
def test_wrong_sweeps_are_explained(run: "Run", words: tuple[str, ...], hint: str) -> None:
    assert hint in run(*SMALL, *words).failed(2)
    assert not Path("p.json").exists()


def test_a_page_that_cannot_be_written_is_the_machines_fault(run: "Run") -> None:
    assert "/proc/none" in run(*SMALL, "--out", "/proc/none/b.html").failed(4)

"""serve, and --cost: a search by a service has the trials of one without, and a server ends as it should."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc_health", reason="the extra `service` is not installed")

from hw_model.service import CostServer, ServerSettings
from model_zoo.spec import from_json
from pipelines.search import open_study
from pipelines.search.trial import Trial

Run = Callable[..., Any]
SEARCH = (
    "--quality",
    "proxy",
    "--image-size",
    "64",
    "--budget",
    "700us",
    "--batch",
    "6",
    "--seed",
    "3",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service as `edgezoo serve` makes it."""
    cache = tmp_path_factory.mktemp("cache") / "costs.sqlite3"
    with CostServer(ServerSettings(port=0, spec_reader=from_json, cache_path=cache)) as server:
        yield f"grpc://{server.address}"


def trials(folder: str) -> list[Trial]:
    """What a search decided and computed; how long it took is not part of it."""
    return [replace(trial, seconds=0.0) for trial in open_study(folder).trials]


def test_a_search_by_a_service_has_the_same_trials(run: Run, url: str) -> None:
    here = run("search", "run", *SEARCH, "--trials", 18, "--study", "here", "--json").json
    there = run(
        "search", "run", *SEARCH, "--trials", 18, "--study", "there", "--cost", url, "--json"
    ).json
    assert trials("here") == trials("there")
    assert here["best"] == there["best"]
    assert len(trials("there")) == 18


def test_a_study_may_change_sides(run: Run, url: str) -> None:
    """Begun here, longer by a service, longer here, under another budget by a service."""
    for folder, cost in (("here", ()), ("mixed", ("--cost", url))):
        run("search", "run", *SEARCH, "--study", folder, "--trials", 6)
        run("search", "resume", folder, "--trials", 12, *cost)
        run("search", "resume", folder, "--trials", 18)
        run("search", "rebudget", folder, "--budget", "650us", "--trials", 4, *cost)
    assert trials("here") == trials("mixed")
    assert len(trials("mixed")) == 22


def test_a_cost_by_a_service_is_the_cost_here(run: Run, url: str) -> None:
    words = ("cost", "mobilenet_edgetpu_v2_tiny", "--target", "coral_usb")
    assert run(*words, "--json", "--cost", url).json == run(*words, "--json").json
    assert run(*words, "--all", "--cost", url).out == run(*words, "--all").out


def test_nobody_there_is_one_line(run: Run) -> None:
    nowhere = "grpc://127.0.0.1:1?timeout_s=0.3"
    line = run("cost", "mobilenet_edgetpu_v2_tiny", "--cost", nowhere).failed(4)
    assert "No cost service answered within 0.3 s at 127.0.0.1:1" in line
    line = run("search", "run", *SEARCH, "--study", "s", "--cost", nowhere).failed(4)
    assert "127.0.0.1:1" in line
    assert not Path("s", "study.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("--port", "70000"), 2, "port must be from 0 to 65535"),
        (("--workers", "0"), 2, "workers must be at least 1"),
        (("--cache", "c", "--no-cache"), 2, "exclude each other"),
        (("--cache", "/proc/none/c", "--port", "0"), 4, "choose another file or none"),
        (("--tls-cert", "a.pem"), 2, "TLS needs a certificate and its key"),
        (("--tls-cert", "a.pem", "--tls-key", "a.pem"), 3, "a.pem"),
        (("--token-file", "absent"), 3, "Cannot read the token in absent"),
        (("--token-file", "empty"), 2, "is empty"),
        (("--token-file", "token", "--host", "0.0.0.0"), 2, "can be read by others"),
        (("--host", "no.such.host.invalid", "--port", "0"), 4, "Cannot listen on"),
    ],
)
def test_wrong_servers_are_explained(
    run: Run, words: tuple[str, ...], code: int, hint: str
) -> None:
    Path("empty").write_text(" \n")
    Path("token").write_text("secret\n")
    assert hint in run("serve", *words).failed(code)


def test_a_cost_url_and_what_is_computed_here_exclude_each_other(run: Run) -> None:
    words = ("cost", "mobilenet_edgetpu_v2_tiny", "--cost", "grpc://127.0.0.1:1")
    assert "leave --cost out" in run(*words, "--schedule", "mensa").failed(2)


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_serves_and_ends_when_asked(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines", "serve", "--port", "0", "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--cache", "costs", "--metrics-port", "0", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr
        greeting = server.stderr.readline()
        found = re.search(r"grpc://(127\.0\.0\.1:(\d+)), 1 worker, cache costs", greeting)
        assert found, greeting
        again = subprocess.run(
            [*command[:-4], "--port", found[2]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 4
        assert len(again.stderr.splitlines()) == 1
        assert f"Cannot listen on {found[1]}" in again.stderr
        server.send_signal(number)
        out, err = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode == 0, err
    assert json.loads(out) == {"address": found[1], "drained": True}
    assert err == ""

"""Dispatch: help, versions, unknown words, errors and exit codes, whatever the verb."""

import argparse
import io
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hw_model.errors import DataError, EnvironmentFault, UsageError
from pipelines.cli import app, main
from pipelines.cli.answer import Answer

Run = Callable[..., Any]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`edgezoo list` replaced by a verb whose `run` a test sets."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    module = SimpleNamespace(add_arguments=add_arguments, run=None)
    monkeypatch.setitem(sys.modules, "pipelines.cli.list", module)
    return module


def raising(error: BaseException) -> Callable[[argparse.Namespace], Answer]:
    def run(args: argparse.Namespace) -> Answer:
        raise error

    return run


def test_no_words_show_the_verbs(run: Run) -> None:
    ran = run()
    assert ran.code == 0
    assert all(verb in ran.out for verb in app.VERBS)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in app.VERBS)])
def test_help_of_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    assert "usage: edgezoo" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["run", "resume", "rebudget", "export"])
def test_help_of_every_search_action(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["search", action, "--help"])
    assert left.value.code == 0
    assert f"edgezoo search {action}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("edgezoo ")


def test_an_unknown_verb_suggests_a_near_one(run: Run) -> None:
    assert "Did you mean quantize" in run("quantise", "x").failed(2)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["list", "--nope"], "--nope"),
        (["list", "--max-latency", "fast"], "fast"),
        (["cost"], "MODEL"),
        (["diff", "a"], "B"),
        (["search"], "ACTION"),
        (["search", "rum"], "rum"),
        (["quantize", "m", "--data", "digits"], "--out"),
        (["train", "m", "--recipe", "r"], "--data"),
    ],
)
def test_wrong_words_are_usage_errors(run: Run, words: list[str], named: str) -> None:
    assert named in run(*words).failed(2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (DataError("d"), 3),
        (EnvironmentFault("e"), 4),
    ],
)
def test_errors_are_one_line_with_their_code(
    run: Run, verb: SimpleNamespace, error: Exception, code: int
) -> None:
    verb.run = raising(error)
    assert run("list").failed(code) == f"edgezoo: error: {error}"


def test_a_disk_that_is_full_is_the_machines_fault(run: Run, verb: SimpleNamespace) -> None:
    verb.run = raising(OSError(28, "No space left on device", "w/x"))
    assert run("list").failed(4) == "edgezoo: error: w/x: No space left on device"


def test_a_message_of_several_lines_becomes_one(run: Run, verb: SimpleNamespace) -> None:
    verb.run = raising(DataError("first\n  second"))
    assert run("list").failed(3) == "edgezoo: error: first second"


def test_a_missing_package_names_the_extra(run: Run, verb: SimpleNamespace) -> None:
    verb.run = raising(ModuleNotFoundError("No module named 'optuna.x'", name="optuna.x"))
    assert "pip install 'edgezoo[search]'" in run("list").failed(4)


def test_a_missing_module_of_our_own_is_a_bug_and_shows(verb: SimpleNamespace) -> None:
    verb.run = raising(ModuleNotFoundError("No module named 'hw_model.x'", name="hw_model.x"))
    with pytest.raises(ModuleNotFoundError):
        main(["list"])


def test_a_bug_is_not_hidden(verb: SimpleNamespace) -> None:
    verb.run = raising(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_ctrl_c_is_130_and_says_how_to_go_on(run: Run, verb: SimpleNamespace) -> None:
    verb.run = raising(KeyboardInterrupt())
    assert run("list").failed(130) == "edgezoo: error: interrupted"
    verb.resume_hint = lambda args: "continue with: x"
    assert run("list").failed(130).endswith("interrupted; continue with: x")


def test_what_libraries_print_stays_out_of_the_answer(run: Run, verb: SimpleNamespace) -> None:
    def chatty(args: argparse.Namespace) -> Answer:
        print("epoch 1")
        return Answer(text="t", data={"nan": float("nan"), "list": (1, 2)})

    verb.run = chatty
    ran = run("list", "--json")
    assert ran.json == {"nan": None, "list": [1, 2]}
    assert ran.err == "epoch 1\n"
    assert run("list").out == "t\n"


def test_a_reader_that_left_is_no_error(
    verb: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare.fileno()

    verb.run = lambda args: Answer(text="t")
    with open("/dev/null", "w") as spare:
        monkeypatch.setattr(sys, "stdout", Gone())
        assert main(["list"]) == 0


@pytest.mark.parametrize("words", [("cost",), ("search", "run")])
def test_an_unknown_option_names_the_help_that_lists_the_known(
    run: Run, words: tuple[str, ...]
) -> None:
    needed = ("mobilenet_edgetpu_v2_s",) if words == ("cost",) else ("--budget", "1ms")
    assert run(*words, *needed, "--nonsense").failed(2) == (
        f"edgezoo: error: unrecognized arguments: --nonsense; see edgezoo {' '.join(words)} --help"
    )

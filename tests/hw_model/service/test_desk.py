"""The desk: every kind of model, from the cache where it was seen, and a typed error for everything else."""

import json
from pathlib import Path
from typing import Any

import pytest
from service_toy import reader, tiny

import hw_model
from hw_model import estimate, load_target
from hw_model.cost.batch import coster_for
from hw_model.errors import DataError, EdgeZooError, SpecError, UnknownNameError, UsageError
from hw_model.graph import to_json
from hw_model.service import cost_pb2 as pb
from hw_model.service.cache import CostCache
from hw_model.service.desk import SPEC_BYTES, Desk
from hw_model.service.wire import LimitError, UnsupportedModelError, error_of, report_of, short_of
from model_zoo.registry import spec_of

SPEC = spec_of("mobilenet_edgetpu_v2_tiny")
NOWHERE = pb.Target()
TFLITE = Path(__file__).parent.parent / "io" / "fixtures" / "tiny_int8.tflite"


def ask(desk: Desk, **fields: Any) -> pb.EstimateResponse:
    return desk.answer(pb.EstimateRequest(id=7, **fields), NOWHERE, "")


def error(desk: Desk, **fields: Any) -> EdgeZooError:
    response = ask(desk, **fields)
    assert response.WhichOneof("outcome") == "error", response
    assert response.id == 7
    return error_of(response.error)


@pytest.fixture
def desk() -> Desk:
    return Desk(cache=None, spec_reader=reader)


@pytest.fixture
def remembering(tmp_path: Path) -> Desk:
    cache = CostCache(tmp_path / "costs.sqlite3", max_bytes=1 << 24)
    return Desk(cache=cache, spec_reader=reader)


def test_specs_graphs_and_files_cost_what_they_cost_here(desk: Desk) -> None:
    target = load_target("pixel6")
    for source, fields in (
        (SPEC, {"spec_json": SPEC.to_json().encode()}),
        (SPEC.graph(), {"graph_json": to_json(SPEC.graph()).encode()}),
    ):
        response = ask(desk, **fields, detail=pb.DETAIL_ROWS)
        report = report_of(response.cost, source=source, target=target)
        assert report == estimate(source, target="pixel6")
        assert report.rows == estimate(source, target="pixel6").rows
        assert response.cost.weights == SPEC.graph().param_count
    read = ask(desk, tflite=TFLITE.read_bytes(), detail=pb.DETAIL_REPORT).cost
    assert read.latency_ms == estimate(TFLITE, target="pixel6").latency_ms


def test_a_short_answer_is_what_a_search_computes(desk: Desk) -> None:
    cost = ask(desk, spec_json=SPEC.to_json().encode()).cost
    assert short_of(cost) == coster_for(load_target("pixel6"))(SPEC)
    assert cost.declared_error == estimate(SPEC, target="pixel6").declared_error
    assert cost.evaluator_id == estimate(SPEC, target="pixel6").evaluator_id


def test_a_target_may_be_sent_as_text(desk: Desk) -> None:
    file = Path(hw_model.__file__).parent / "targets" / "coral_usb.toml"
    sent = pb.Target(toml=file.read_text(encoding="utf-8"))
    cost = ask(desk, spec_json=SPEC.to_json().encode(), target=sent).cost
    assert cost.target_id == load_target("coral_usb").target_id


def test_what_was_costed_once_comes_from_the_cache(remembering: Desk) -> None:
    text = SPEC.to_json()
    first = ask(remembering, spec_json=text.encode())
    again = ask(remembering, spec_json=text.encode())
    spaced = ask(remembering, spec_json=json.dumps(json.loads(text), indent=2).encode())
    assert (first.cached, again.cached, spaced.cached) == (False, True, True)
    assert first.cost == again.cost == spaced.cost


def test_a_detail_a_target_or_another_kind_is_another_answer(remembering: Desk) -> None:
    spec = SPEC.to_json().encode()
    assert not ask(remembering, spec_json=spec).cached
    assert not ask(remembering, spec_json=spec, detail=pb.DETAIL_REPORT).cached
    assert not ask(remembering, spec_json=spec, target=pb.Target(name="coral_usb")).cached
    assert not ask(remembering, graph_json=to_json(SPEC.graph()).encode()).cached


def test_targets_that_differ_in_name_alone_do_not_share_answers(remembering: Desk) -> None:
    """Their id is the same, since nothing that costs differs; the name in the report is not."""
    file = Path(hw_model.__file__).parent / "targets" / "coral_usb.toml"
    text = file.read_text(encoding="utf-8")
    named = text.replace('name = "coral_usb"', 'name = "mine"', 1)
    spec = SPEC.to_json().encode()
    names = [
        ask(
            remembering, spec_json=spec, target=pb.Target(toml=toml), detail=pb.DETAIL_REPORT
        ).cost.target_name
        for toml in (text, named)
    ]
    assert names == ["coral_usb", "mine"]


def test_errors_are_not_remembered(remembering: Desk) -> None:
    twice = [ask(remembering, graph_json=b"{}") for _ in range(2)]
    assert [response.cached for response in twice] == [False, False]


def graph_with(**changes: Any) -> bytes:
    data = json.loads(to_json(tiny()))
    data.update(changes)
    return json.dumps(data).encode()


def attribute(**changes: Any) -> bytes:
    data = json.loads(to_json(tiny()))
    data["ops"][0]["attributes"].update(changes)
    return json.dumps(data).encode()


def cyclic() -> bytes:
    data = json.loads(to_json(tiny()))
    data["ops"][0]["inputs"] = [len(data["tensors"]) - 1]
    return json.dumps(data).encode()


def unknown_op() -> bytes:
    data = json.loads(to_json(tiny()))
    data["ops"][0]["kind"] = "Conv9D"
    return json.dumps(data).encode()


def huge(size: int) -> bytes:
    """A product of two activations with shapes beyond every machine; consistent, so readers accept it."""
    tensors = [
        {"name": "a", "shape": [1, size, size], "dtype": "float32"},
        {"name": "b", "shape": [1, size, size], "dtype": "float32"},
        {"name": "c", "shape": [1, size, size], "dtype": "float32"},
    ]
    ops = [
        {
            "name": "product",
            "kind": "MatMul",
            "attributes": {"transpose_b": False},
            "inputs": [0, 1],
            "outputs": [2],
        }
    ]
    return graph_with(tensors=tensors, ops=ops, inputs=[0, 1], outputs=[2])


HOSTILE = {
    "empty": (b"", SpecError, "not valid JSON"),
    "no object": (b"[]", SpecError, "must be an object"),
    "not UTF-8": (b'{"\xff": 1}', SpecError, "not valid JSON"),
    "deep": (b"[" * 100_000, SpecError, "not valid JSON"),
    "deep attribute": (
        attribute(filters="FILL").replace(b'"FILL"', b"[" * 600 + b"]" * 600),
        SpecError,
        "filters",
    ),
    "NaN": (attribute(filters=float("nan")), SpecError, "NaN"),
    "infinity": (attribute(filters=1e999), SpecError, "Infinity"),
    "duplicate": (b'{"name": "a", "name": "b"}', SpecError, "twice"),
    "cycle": (cyclic(), SpecError, "which nothing before it writes"),
    "unknown op": (unknown_op(), SpecError, "is unknown; known"),
    "unknown field": (graph_with(extra=1), SpecError, "unknown field"),
    "no tensor": (graph_with(outputs=[999]), SpecError, "Received: 999"),
    "zero": (attribute(stride=[0, 1]), SpecError, "must be positive"),
    "long number": (
        attribute(filters="FILL").replace(b'"FILL"', b"1" + b"0" * 9000), SpecError, "not valid JSON",
    ),
    "huge": (huge(10**9), LimitError, "beyond what this server computes with"),
    "astronomic": (huge(10**200), LimitError, "beyond what this server computes with"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_graph_gets_a_typed_error(desk: Desk, case: str) -> None:
    data, kind, text = HOSTILE[case]
    found = error(desk, graph_json=data)
    assert isinstance(found, kind)
    assert text in str(found)


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({}, UsageError, "this one holds none"),
        ({"graph_json": b"{}", "more": True}, UsageError, "EstimateStream"),
        ({"graph_json": b"{}", "detail": 9}, UsageError, "Received: 9"),
        ({"graph_json": b"{}", "target": pb.Target(name="pixel9")}, UsageError, "Did you mean"),
        ({"graph_json": b"{}", "target": pb.Target(name="/etc/x.toml")}, UsageError, "Unknown"),
        ({"graph_json": b"{}", "target": pb.Target(toml="a = [")}, SpecError, "not valid TOML"),
        ({"graph_json": b"{}", "target": pb.Target(toml="a=" + "[" * 5000)}, SpecError, "TOML"),
        ({"graph_json": b"{}", "target": pb.Target(toml="#" * 70000)}, SpecError, "at most"),
        ({"graph_json": b"{}", "target": pb.Target(toml="name = 'x'")}, SpecError, "target."),
        ({"graph_json": b"{}", "evaluator": "oracle"}, UsageError, "Unknown evaluator"),
        ({"tflite": b"TFL3 no file"}, DataError, ""),
        ({"spec_json": b"{}"}, SpecError, "is missing"),
        ({"spec_json": b" " * (SPEC_BYTES + 1)}, UsageError, "at most"),
        ({"spec_json": b'"bug"'}, EdgeZooError, "KeyError"),
    ],
)
def test_a_wrong_request_gets_a_typed_error(
    desk: Desk, fields: dict[str, Any], kind: type[EdgeZooError], text: str
) -> None:
    found = error(desk, **fields)
    assert isinstance(found, kind)
    assert text in str(found)


def test_without_a_reader_specs_are_not_supported() -> None:
    found = error(Desk(cache=None, spec_reader=None), spec_json=SPEC.to_json().encode())
    assert isinstance(found, UnsupportedModelError)
    assert "send the graph" in str(found)


def test_unknown_names_suggest_near_ones(desk: Desk) -> None:
    found = error(desk, graph_json=b"{}", target=pb.Target(name="coral_usc"))
    assert str(found) == str(UnknownNameError("target", "coral_usc", hw_model.list_targets()))

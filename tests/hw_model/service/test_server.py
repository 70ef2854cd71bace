"""The server: every call gets a status, whatever it is made of, and the next call is answered as if nothing were."""

import contextlib
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from service_toy import Slow, reader, tiny

from hw_model import estimate
from hw_model.errors import EnvironmentFault
from hw_model.graph import to_json
from hw_model.service import CostServer, ServerSettings
from hw_model.service import cost_pb2 as pb
from hw_model.service.cost_pb2_grpc import CostServiceStub
from hw_model.service.service import SERVICE_NAME
from hw_model.service.settings import MIB

Code = grpc.StatusCode
GRAPH = to_json(tiny()).encode()


@pytest.fixture
def channel(server: CostServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return CostServiceStub(channel)


def request(number: int = 0, **fields: Any) -> pb.EstimateRequest:
    return pb.EstimateRequest(id=number, **(fields or {"graph_json": GRAPH}))


def batch(*requests: pb.EstimateRequest) -> pb.EstimateBatchRequest:
    return pb.EstimateBatchRequest(requests=requests)


def costs(stub: Any) -> bool:
    """Whether the server still does its work."""
    answer = stub.Estimate(batch(request()), timeout=60)
    return bool(answer.responses[0].cost.latency_ms > 0)


def refused(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def metric(server: CostServer, name: str) -> float:
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    page = urllib.request.urlopen(url, timeout=10).read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_batch_is_answered_in_order_and_one_bad_item_fails_alone(stub: Any) -> None:
    asked = [request(5), request(3, graph_json=b"{"), request(9), request(3, spec_json=b"{}")]
    answers = stub.Estimate(batch(*asked), timeout=60).responses
    assert [answer.id for answer in answers] == [5, 3, 9, 3]
    kinds = [answer.WhichOneof("outcome") for answer in answers]
    assert kinds == ["cost", "error", "cost", "error"]
    assert answers[0].cost.latency_ms == estimate(tiny(), target="pixel6").latency_ms


def test_an_empty_batch_has_an_empty_answer(stub: Any) -> None:
    assert len(stub.Estimate(batch(), timeout=60).responses) == 0


def test_target_and_evaluator_of_a_batch_are_for_items_without(stub: Any) -> None:
    own = request(1, graph_json=GRAPH, target=pb.Target(name="pixel6"))
    asked = batch(request(0), own)
    asked.target.name = "coral_usb"
    ids = [answer.cost.target_id for answer in stub.Estimate(asked, timeout=60).responses]
    expected = [estimate(tiny(), target=name).target_id for name in ("coral_usb", "pixel6")]
    assert ids == expected


def test_a_stream_is_answered_in_order(stub: Any) -> None:
    asked = [request(number) for number in range(40)]
    asked[7] = request(7, graph_json=b"null")
    answers = list(stub.EstimateStream(iter(asked), timeout=60))
    assert [answer.id for answer in answers] == list(range(40))
    errors = [answer.id for answer in answers if answer.WhichOneof("outcome") == "error"]
    assert errors == [7]


def test_a_stream_answers_before_it_has_ended(stub: Any) -> None:
    heard = threading.Event()

    def asked() -> Iterator[pb.EstimateRequest]:
        yield request(1)
        assert heard.wait(60)
        yield request(2)

    answers = stub.EstimateStream(asked(), timeout=90)
    assert next(answers).id == 1
    heard.set()
    assert [answer.id for answer in answers] == [2]


def test_files_come_in_parts_between_other_requests(stub: Any, server: CostServer) -> None:
    file = Path(__file__).parent.parent / "io" / "fixtures" / "tiny_int8.tflite"
    data = file.read_bytes()
    half = len(data) // 2
    too_large = [request(4, tflite=bytes(MIB // 2), more=number < 20) for number in range(21)]
    asked = [
        request(1),
        request(2, tflite=data[:half], more=True),
        request(2, tflite=data[half:]),
        request(3),
        *too_large,
        request(5),
    ]
    answers = list(stub.EstimateStream(iter(asked), timeout=90))
    assert [answer.id for answer in answers] == [1, 2, 3, 4, 5]
    assert answers[1].cost.latency_ms == estimate(file, target="pixel6").latency_ms
    assert "at most" in answers[3].error.message
    assert metric(server, "edgezoo_cost_buffered_bytes") == 0


def test_an_unfinished_file_is_forgotten(stub: Any, server: CostServer) -> None:
    asked = [request(1, tflite=bytes(1000), more=True), request(2)]
    code, text = refused(lambda: list(stub.EstimateStream(iter(asked), timeout=60)))
    assert code is Code.INVALID_ARGUMENT
    assert "not complete" in text
    assert list(stub.EstimateStream(iter(asked[:1]), timeout=60)) == []
    assert metric(server, "edgezoo_cost_buffered_bytes") == 0


def test_describe_says_what_there_is(stub: Any) -> None:
    answer = stub.Describe(pb.DescribeRequest(target=pb.Target(name="pixel4")), timeout=60)
    assert answer.target_id == estimate(tiny(), target="pixel4").target_id
    assert answer.evaluator_id == estimate(tiny(), target="pixel4").evaluator_id
    assert {"pixel4", "pixel6"} <= set(answer.targets)
    assert "analytical" in answer.evaluators
    assert answer.reads_specs
    assert answer.max_message_bytes == MIB
    unknown = pb.DescribeRequest(target=pb.Target(name="pixel99"))
    code, text = refused(lambda: stub.Describe(unknown, timeout=60))
    assert code is Code.NOT_FOUND
    assert "Unknown target" in text


@pytest.mark.parametrize("method", ["Estimate", "Describe", "EstimateStream"])
@pytest.mark.parametrize("data", [b"\xff" * 100, b"\x0a\xff\xff\xff\x0f", b"\x0a\x02\x08"])
def test_bytes_that_are_no_message_are_an_invalid_argument(
    channel: grpc.Channel, stub: Any, method: str, data: bytes
) -> None:
    path = f"/{SERVICE_NAME}/{method}"
    if method == "EstimateStream":
        call = channel.stream_stream(path)
        code, text = refused(lambda: list(call(iter([data]), timeout=60)))
    else:
        code, text = refused(lambda: channel.unary_unary(path)(data, timeout=60))
    assert code is Code.INVALID_ARGUMENT
    assert text.startswith("not a")
    assert costs(stub)


def test_other_methods_are_unimplemented(channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"/{SERVICE_NAME}/Shutdown")
    assert refused(lambda: call(b"", timeout=60))[0] is Code.UNIMPLEMENTED


def test_an_oversized_message_and_batch_are_refused(stub: Any) -> None:
    code, text = refused(
        lambda: stub.Estimate(batch(request(0, graph_json=b" " * 2 * MIB)), timeout=60)
    )
    assert code is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in text
    code, text = refused(lambda: stub.Estimate(batch(*[request()] * 65), timeout=60))
    assert code is Code.INVALID_ARGUMENT
    assert "at most 64 requests. Received: 65" in text
    assert costs(stub)


def test_a_deadline_that_has_passed_ends_the_call_and_frees_the_worker(stub: Any) -> None:
    assert refused(lambda: stub.Estimate(batch(request()), timeout=-1))[0] is Code.DEADLINE_EXCEEDED
    slow = batch(*[Slow(n).request() for n in range(60)])
    assert refused(lambda: stub.Estimate(slow, timeout=0.5))[0] is Code.DEADLINE_EXCEEDED
    # 60 of them take 12 s; the worker leaves them when the call is over.
    answer = stub.Estimate(batch(request()), timeout=5)
    assert answer.responses[0].cost.latency_ms > 0


def test_random_bytes_on_the_port_do_no_harm(server: CostServer, stub: Any) -> None:
    rubbish = (
        b"\x00" * 5000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
    )
    for data in rubbish:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(data)
            raw.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                raw.recv(1000)
    assert costs(stub)


def test_more_calls_than_allowed_are_told_to_come_again(stub: Any, server: CostServer) -> None:
    waiting = threading.Event()

    def silent() -> Iterator[pb.EstimateRequest]:
        yield request(1)
        waiting.wait(60)

    streams = [stub.EstimateStream(silent(), timeout=90) for _ in range(16)]
    try:
        for stream in streams:
            next(stream)
        code, text = refused(lambda: stub.Estimate(batch(request()), timeout=60))
        assert code is Code.RESOURCE_EXHAUSTED
        assert "16 calls are being answered" in text
    finally:
        waiting.set()
    for stream in streams:
        assert list(stream) == []
    assert costs(stub)


def test_health_is_what_probes_expect(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE_NAME):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_names_the_service(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = stub.ServerReflectionInfo(asked, timeout=60)
    assert SERVICE_NAME in {service.name for service in answer.list_services_response.service}


def test_metrics_count_calls_and_models(server: CostServer, stub: Any) -> None:
    calls = 'edgezoo_cost_calls_total{code="OK",method="Estimate"}'
    spoiled = 'edgezoo_cost_models_total{outcome="spec"}'
    before = metric(server, calls), metric(server, spoiled)
    stub.Estimate(batch(request(), request(1, graph_json=b"{}")), timeout=60)
    assert (metric(server, calls), metric(server, spoiled)) == (before[0] + 1, before[1] + 1)
    assert metric(server, "edgezoo_cost_workers") == 1
    assert metric(server, "edgezoo_cost_calls_under_way") == 0


def test_a_worker_that_dies_costs_its_model_alone(stub: Any, server: CostServer) -> None:
    replaced = metric(server, "edgezoo_cost_workers_replaced")
    asked = [request(0), request(1), request(2, spec_json=b'"die"'), request(3)]
    answers = stub.Estimate(batch(*asked), timeout=90).responses
    assert [answer.id for answer in answers] == [0, 1, 2, 3]
    assert [answer.WhichOneof("outcome") for answer in answers] == ["cost", "cost", "error", "cost"]
    assert answers[2].error.kind == pb.Error.LIMIT
    assert "died" in answers[2].error.message
    assert metric(server, "edgezoo_cost_workers_replaced") == replaced + 1


def test_a_port_in_use_is_one_line(server: CostServer) -> None:
    with pytest.raises(EnvironmentFault, match=rf"127.0.0.1:{server.port}: Address already in use"):
        CostServer(ServerSettings(port=server.port, spec_reader=reader)).start()


def test_a_metrics_port_in_use_is_one_line(server: CostServer) -> None:
    assert server.metrics_port
    settings = ServerSettings(port=0, metrics_port=server.metrics_port)
    with pytest.raises(EnvironmentFault, match="Metrics cannot be served"):
        CostServer(settings).start()

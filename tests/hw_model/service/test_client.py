"""The client: the same figures and errors as in this process, and one clear line when nobody answers."""

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from service_toy import Slow, tiny

import hw_model
from hw_model import estimate, load_target
from hw_model.cost.batch import coster_for
from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, SpecError, UsageError
from hw_model.graph import Graph
from hw_model.service import CostClient, CostServer, connect
from hw_model.service import cost_pb2 as pb
from hw_model.service.cost_pb2_grpc import CostServiceServicer, add_CostServiceServicer_to_server
from hw_model.targets import Target
from model_zoo.registry import spec_of

SPEC = spec_of("mobilenet_edgetpu_v2_tiny")
TFLITE = Path(__file__).parent.parent / "io" / "fixtures" / "tiny_int8.tflite"


def test_one_report_is_the_one_of_this_process(client: CostClient) -> None:
    graph = SPEC.graph()
    assert client.report(graph) == estimate(graph)
    assert client.report(graph, source=SPEC).source is SPEC
    assert client.report(tiny(name="other")).graph_name == "other"
    assert client.rows(graph) == estimate(graph).rows
    assert client.evaluator_id == estimate(graph).evaluator_id
    assert client.target == load_target("pixel6")


def test_rows_come_with_the_report_when_asked_for(client: CostClient) -> None:
    plain, full = client.report(tiny()), client.report_with_rows(tiny())
    assert "rows" not in vars(plain)
    assert vars(full)["rows"] == plain.rows


def test_many_models_of_every_kind_in_order(client: CostClient) -> None:
    models: list[Any] = [SPEC, SPEC.graph(), TFLITE, str(TFLITE)]
    models += [tiny(8 * n) for n in range(1, 40)]
    found = client.reports(models)
    assert found == [estimate(model) for model in models]


def test_short_costs_are_those_of_a_search(client: CostClient) -> None:
    cost = coster_for(load_target("pixel6"))
    assert client.costs([SPEC, tiny()]) == [cost(SPEC), cost(tiny())]
    assert client.costs([]) == []


def test_a_bad_model_has_its_error_in_its_place(client: CostClient, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"TFL3 nothing")
    found = client.reports([tiny(), bad, tiny(24)])
    assert [isinstance(item, EdgeZooError) for item in found] == [False, True, False]
    assert isinstance(found[1], DataError)


def test_errors_of_a_single_report_are_raised(client: CostClient) -> None:
    illegal = Graph((), (), (), ())
    with pytest.raises(SpecError, match="inputs"):
        client.report(illegal)


def test_a_file_larger_than_a_message_goes_in_parts(client: CostClient, tmp_path: Path) -> None:
    """Bytes after the tables of a file are legal: readers look at what is pointed at."""
    large = tmp_path / "large.tflite"
    large.write_bytes(TFLITE.read_bytes() + bytes(3 << 20))
    (report,) = client.reports([large], rows=True)
    assert report.latency_ms == estimate(TFLITE).latency_ms  # type: ignore[union-attr]
    large.write_bytes(bytes(9 << 20))
    (refused,) = client.reports([large])
    assert isinstance(refused, DataError)
    assert "at most" in str(refused)


def test_a_graph_larger_than_a_message_is_told_so(client: CostClient) -> None:
    (refused,) = client.reports([tiny(name="x" * (1 << 20))])
    assert isinstance(refused, UsageError)
    assert "bytes for one model" in str(refused)


def test_a_target_may_be_a_file(server: CostServer, tmp_path: Path) -> None:
    shipped = Path(hw_model.__file__).parent / "targets" / "coral_usb.toml"
    mine = tmp_path / "mine.toml"
    text = shipped.read_text(encoding="utf-8").replace('name = "coral_usb"', 'name = "mine"', 1)
    mine.write_text(text, encoding="utf-8")
    with CostClient([server.address], target=mine) as client:
        assert client.report(tiny()) == estimate(tiny(), target=mine)
    with CostClient([server.address], target=load_target("coral_usb")) as client:
        assert client.report(tiny()) == estimate(tiny(), target="coral_usb")
    with pytest.raises(UsageError, match="give the path of its TOML file"):
        CostClient([server.address], target=load_target(mine))


def test_unknown_evaluators_are_named(server: CostServer) -> None:
    with (
        CostClient([server.address], evaluator="oracle") as client,
        pytest.raises(UsageError, match="Unknown evaluator"),
    ):
        client.report(tiny())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_there_is_one_line_with_the_addresses() -> None:
    ports = free_port(), free_port()
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with (
        CostClient(addresses, timeout_s=0.6) as client,
        pytest.raises(EnvironmentFault, match="No cost service answered within 0.6 s") as caught,
    ):
        client.report(tiny())
    assert all(address in str(caught.value) for address in addresses)
    assert "edgezoo serve" in str(caught.value)


def test_one_of_two_that_is_not_there_loses_nothing(server: CostServer) -> None:
    absent = f"127.0.0.1:{free_port()}"
    with CostClient([absent, server.address], timeout_s=60) as client:
        graphs = [tiny(8 * n) for n in range(1, 60)]
        assert client.reports(graphs) == [estimate(graph) for graph in graphs]


def test_a_call_that_takes_too_long_ends_in_time(server: CostServer) -> None:
    with (
        CostClient([server.address], timeout_s=0.5) as client,
        pytest.raises(EnvironmentFault, match="deadline_exceeded"),
    ):
        client.reports([Slow(1000 + number) for number in range(8)])


class Pretender(CostServiceServicer):
    """A server that is not quite one."""

    def __init__(self) -> None:
        self.description = pb.DescribeResponse(max_message_bytes=1 << 20, max_batch=64, workers=1)
        self.answers: list[pb.EstimateResponse] = []
        self.failures = 0
        self.calls = 0
        self.lock = threading.Lock()

    def Describe(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.description

    def Estimate(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self.lock:
            self.calls += 1
            if self.calls <= self.failures:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return pb.EstimateBatchResponse(responses=self.answers)


@pytest.fixture
def pretender() -> Iterator[tuple[Pretender, str]]:
    service = Pretender()
    target = load_target("pixel6")
    service.description.target_id = target.target_id
    service.description.evaluator_id = "analytical-1"
    cost = pb.Cost(target_id=target.target_id, evaluator_id="analytical-1", latency_ms=1.5)
    service.answers = [pb.EstimateResponse(id=0, cost=cost)]
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_CostServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_passing_faults_are_tried_again(pretender: tuple[Pretender, str]) -> None:
    service, address = pretender
    service.failures = 3
    with CostClient([address], timeout_s=30) as client:
        assert client.report(tiny()).latency_ms == 1.5
    assert service.calls == 4


def test_another_version_of_the_target_is_noticed(pretender: tuple[Pretender, str]) -> None:
    service, address = pretender
    service.description.target_id = "another"
    with (
        CostClient([address]) as client,
        pytest.raises(EnvironmentFault, match="has another pixel6: another"),
    ):
        client.report(tiny())


def test_another_version_of_the_evaluator_is_noticed(pretender: tuple[Pretender, str]) -> None:
    service, address = pretender
    service.answers[0].cost.evaluator_id = "analytical-0"
    with (
        CostClient([address]) as client,
        pytest.raises(EnvironmentFault, match="analytical-0.*run one version everywhere"),
    ):
        client.report(tiny())


def test_answers_that_do_not_belong_are_noticed(pretender: tuple[Pretender, str]) -> None:
    service, address = pretender
    service.answers[0].id = 5
    with CostClient([address]) as client, pytest.raises(EnvironmentFault, match="1 of 1 requests"):
        client.report(tiny())


def test_what_is_no_cost_service_is_said_to_be_none() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        CostClient([f"127.0.0.1:{port}"]) as client,
        pytest.raises(EnvironmentFault, match="is no cost service"),
    ):
        client.report(tiny())
    server.stop(0).wait()


def test_models_that_are_none_are_refused_here(client: CostClient) -> None:
    with pytest.raises(UsageError, match="Received: dict"):
        client.reports([{}])
    with pytest.raises(DataError, match="Cannot read absent.tflite"):
        client.reports(["absent.tflite"])


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("127.0.0.1:50051", "grpc://host:port"),
        ("http://127.0.0.1:50051", "grpc://host:port"),
        ("grpc://", "grpc://host:port"),
        ("grpc://localhost", "such as 127.0.0.1:50051"),
        ("grpc://localhost:99999", "such as 127.0.0.1:50051"),
        ("grpc://a:1,,b:2", "such as 127.0.0.1:50051"),
        ("grpc://a:1/path", "grpc://host:port"),
        ("grpc://a:1?ca=x.pem", "with grpcs://"),
        ("grpcs://a:1?colour=red", "Received: colour"),
        ("grpc://a:1?timeout_s=soon", "number of seconds"),
        ("grpc://a:1?timeout_s=-1", "above 0"),
        ("grpcs://a:1?cert=x.pem", "needs its key"),
    ],
)
def test_wrong_urls_are_explained(url: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(url)
    assert text in str(caught.value)


def test_an_url_names_servers_target_and_seconds(
    server: CostServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEZOO_COST_TOKEN", "whatever: this server asks for none")
    url = f"grpc://{server.address},{server.address}?timeout_s=30"
    with connect(url, target="pixel4") as client:
        assert client.report(tiny()) == estimate(tiny(), target="pixel4")
        assert isinstance(client.target, Target)


def test_a_token_is_not_sent_in_clear_text_over_a_network() -> None:
    with pytest.raises(UsageError, match="can be read by others"):
        CostClient(["costs.example:50051"], token="secret")
    CostClient(["costs.example:50051"], token="secret", allow_plaintext_token=True).close()
    CostClient(["[::1]:50051"], token="secret").close()

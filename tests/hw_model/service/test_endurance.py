"""What a server lives through as a process of its own: kills, floods, hogs, and being asked to stop."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from service_toy import Slow, reader, tiny

from hw_model import estimate
from hw_model.errors import EnvironmentFault
from hw_model.graph import to_json
from hw_model.service import CostClient, CostServer, ServerSettings
from hw_model.service import cost_pb2 as pb
from hw_model.service.cost_pb2_grpc import CostServiceStub
from hw_model.service.service import SERVICE_NAME
from hw_model.service.settings import MIB

pytestmark = pytest.mark.slow

SCRIPT = """
import logging, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from service_toy import reader
from hw_model.service import CostServer, ServerSettings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    cache = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    server = CostServer(ServerSettings(port=0, workers=1, spec_reader=reader, cache_path=cache, drain_s=30))
    server.start()
    print(server.address, flush=True)
    while not stop.wait(0.1):
        pass
    print("drained" if server.stop(drain_s=30) else "cut", flush=True)
"""


class Replica:
    """A server in a process, with its address."""

    def __init__(self, folder: Path, *words: str) -> None:
        script = folder / "replica.py"
        script.write_text(SCRIPT, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(Path(__file__).parent), *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.address = self.out.readline().strip()
        assert self.address, "the replica did not start"

    def children(self) -> list[int]:
        """Processes it started."""
        listed = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )  # fmt: skip
        return [int(pid) for pid in listed.stdout.split()]


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    started: list[Replica] = []

    def start(*words: str) -> Replica:
        started.append(Replica(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.out.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_replica_killed_in_the_middle_loses_no_call(replica: Callable[..., Replica]) -> None:
    """100 models of 0.2 s: about 10 s for two replicas, of which one dies after 2 s."""
    victims = [replica(), replica()]
    specs = [Slow(number) for number in range(100)]
    with CostClient([one.address for one in victims], timeout_s=60) as client:
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.extend(client.reports(specs)))
        asking.start()
        time.sleep(2)
        assert asking.is_alive()
        victims[0].process.kill()
        asking.join(timeout=120)
    assert answers == [estimate(spec) for spec in specs]


def test_when_all_replicas_are_gone_their_addresses_are_named(
    replica: Callable[..., Replica],
) -> None:
    victim = replica()
    with CostClient([victim.address], timeout_s=1) as client:
        client.report(tiny())
        victim.process.kill()
        victim.process.wait()
        with pytest.raises(EnvironmentFault, match=f"within 1 s at {victim.address}"):
            client.report(tiny())


def test_a_stream_to_a_killed_replica_ends_with_a_status(replica: Callable[..., Replica]) -> None:
    victim = replica()
    asked = (Slow(number).request() for number in range(2000))
    heard = []
    with grpc.insecure_channel(victim.address) as channel:
        answers = CostServiceStub(channel).EstimateStream(asked, timeout=60)
        for _ in range(20):
            heard.append(next(answers).id)
        victim.process.kill()
        with pytest.raises(grpc.RpcError) as caught:
            heard.extend(answer.id for answer in answers)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert heard == list(range(len(heard)))


def test_workers_leave_with_a_killed_server(replica: Callable[..., Replica]) -> None:
    victim = replica()
    workers = victim.children()
    assert workers
    victim.process.kill()
    victim.process.wait()
    deadline = time.monotonic() + 30
    while not all(map(gone, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert all(map(gone, workers))


def test_asked_to_stop_it_finishes_what_it_has_begun(replica: Callable[..., Replica]) -> None:
    server = replica()
    slow = [Slow(number).request() for number in range(10)]
    with grpc.insecure_channel(server.address) as channel:
        stub = CostServiceStub(channel)
        call = stub.Estimate.future(pb.EstimateBatchRequest(requests=slow), timeout=60)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert len(call.result().responses) == 10
        with pytest.raises(grpc.RpcError) as caught:
            stub.Describe(pb.DescribeRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.out.readline().strip() == "drained"
    assert server.process.wait(timeout=30) == 0


def test_replicas_share_one_cache(replica: Callable[..., Replica], tmp_path: Path) -> None:
    cache = str(tmp_path / "costs.sqlite3")
    first, second = replica(cache), replica(cache)
    request = pb.EstimateBatchRequest(
        requests=[pb.EstimateRequest(id=n, graph_json=to_json(tiny(8 * n + 8)).encode()) for n in range(50)]
    )  # fmt: skip
    cached = []
    for one in (first, second):
        with grpc.insecure_channel(one.address) as channel:
            stub = CostServiceStub(channel)
            answers = stub.Estimate(request, timeout=60).responses
            cached.append([answer.cached for answer in answers])
            # A worker stores after it has answered, and before it takes the next batch.
            stub.Estimate(pb.EstimateBatchRequest(), timeout=60)
    assert cached == [[False] * 50, [True] * 50]


def test_a_model_that_hangs_is_given_up_and_the_next_one_answered() -> None:
    settings = ServerSettings(port=0, spec_reader=reader, item_timeout_s=1.0)
    asked = [
        pb.EstimateRequest(id=1, graph_json=to_json(tiny()).encode()),
        pb.EstimateRequest(id=2, spec_json=b'"hang"'),
        pb.EstimateRequest(id=3, graph_json=to_json(tiny()).encode()),
    ]
    with CostServer(settings) as server, grpc.insecure_channel(server.address) as channel:
        batch = pb.EstimateBatchRequest(requests=asked)
        answers = CostServiceStub(channel).Estimate(batch, timeout=90).responses
    assert [answer.WhichOneof("outcome") for answer in answers] == ["cost", "error", "cost"]
    assert "hung" in answers[1].error.message


def bomb(groups: int) -> bytes:
    """A group convolution that a lowering would write out as so many convolutions."""
    data = json.loads(to_json(tiny()))
    image, width = data["tensors"][0], groups
    image["shape"] = [1, 4, 4, width]
    op = {
        "name": "bomb", "kind": "GroupConv2D", "inputs": [0], "outputs": [1],
        "attributes": {
            "filters": width, "group_size": 1, "kernel": [1, 1], "stride": [1, 1], "padding": "same",
            "activation": "relu", "epsilon": 0.001, "momentum": 0.99,
        },
    }  # fmt: skip
    tensors = [image, {**image, "name": "bomb"}]
    data.update(tensors=tensors, ops=[op], inputs=[0], outputs=[1])
    return json.dumps(data).encode()


def test_a_model_that_needs_all_memory_is_refused() -> None:
    settings = ServerSettings(
        port=0, spec_reader=reader, worker_memory_bytes=256 * MIB, item_timeout_s=60
    )
    asked = [
        pb.EstimateRequest(id=1, graph_json=bomb(50_000_000)),
        pb.EstimateRequest(id=2, graph_json=to_json(tiny()).encode()),
    ]
    with CostServer(settings) as server, grpc.insecure_channel(server.address) as channel:
        batch = pb.EstimateBatchRequest(requests=asked)
        answers = CostServiceStub(channel).Estimate(batch, timeout=120).responses
    assert answers[0].error.kind == pb.Error.LIMIT
    assert answers[1].cost.latency_ms == estimate(tiny()).latency_ms


def hostile(rng: random.Random) -> bytes:
    """A batch, damaged: bits flipped, cut, repeated, or made of nonsense."""
    graph = bytearray(to_json(tiny()).encode())
    for _ in range(rng.randrange(1, 6)):
        graph[rng.randrange(len(graph))] = rng.choice(b'{}[]",:0123456789eE-\\nul\x00\xff')
    kinds: list[dict[str, Any]] = [
        {"graph_json": bytes(graph)},
        {"graph_json": b"[" * rng.randrange(1, 200_000)},
        {"graph_json": bomb(rng.choice((1 << 20, 50_000_000)))} if rng.random() < 0.05 else {"more": True},
        {"tflite": rng.randbytes(rng.randrange(1, 5000))},
        {"spec_json": b'"die"'} if rng.random() < 0.05 else {"spec_json": b'{"family": 1e999}'},
        {"target": pb.Target(toml="x = " + "[" * rng.randrange(10_000)), "graph_json": b"{}"},
    ]  # fmt: skip
    requests = [pb.EstimateRequest(id=n, **rng.choice(kinds)) for n in range(rng.randrange(1, 5))]
    data = bytearray(pb.EstimateBatchRequest(requests=requests).SerializeToString())
    if rng.random() < 0.4:
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def test_a_thousand_hostile_requests_each_get_a_status() -> None:
    rng = random.Random(7)
    settings = ServerSettings(
        port=0, workers=2, spec_reader=reader, worker_memory_bytes=256 * MIB, item_timeout_s=20
    )
    statuses: dict[str, int] = {}
    with CostServer(settings) as server, grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(f"/{SERVICE_NAME}/Estimate")
        warm = pb.EstimateBatchRequest(
            requests=[pb.EstimateRequest(graph_json=to_json(tiny()).encode())]
        ).SerializeToString()
        call(warm, timeout=60)
        before = resident_mib(os.getpid())
        for _ in range(1000):
            data = hostile(rng)
            try:
                answer = pb.EstimateBatchResponse.FromString(call(data, timeout=120))
                statuses["OK"] = statuses.get("OK", 0) + 1
                asked = pb.EstimateBatchRequest.FromString(data)
                assert [a.id for a in answer.responses] == [r.id for r in asked.requests]
            except grpc.RpcError as error:
                statuses[error.code().name] = statuses.get(error.code().name, 0) + 1
        after = resident_mib(os.getpid())
        assert pb.EstimateBatchResponse.FromString(call(warm, timeout=60)).responses[0].cost.macs
    assert set(statuses) == {"OK", "INVALID_ARGUMENT"}, statuses
    assert sum(statuses.values()) == 1000
    assert after - before < 100


def resident_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1]) / 1024

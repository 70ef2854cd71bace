"""Loads `edgezoo serve` on loopback: errors, latency, and what a second worker adds. Writes results/cost_service.json.

Clients run in processes of their own and call back to back, so on a machine of few cores they take processor time
from the server; the table says how much each side took. Requests are serialized before the clock starts and answers
are not read, but for those of one client, so that clients are as light as gRPC lets them be.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from cost_speed import walk
from record import Column, save

from hw_model.service import cost_pb2 as pb
from model_zoo.registry import entries, spec_of

COLUMNS = (
    Column(key="what", heading="Cost service; the analytical evaluator where none is named"),
    Column(key="servers", heading="Servers"),
    Column(key="workers", heading="Workers each"),
    Column(key="batch", heading="Models a call"),
    Column(key="calls", heading="Calls", format=","),
    Column(key="errors", heading="Errors"),
    Column(key="per_second", heading="Models/s", format=",.0f"),
    Column(key="p50_ms", heading="p50 ms", format=".1f"),
    Column(key="p99_ms", heading="p99 ms", format=".1f"),
    Column(key="client_cores", heading="Cores busy with clients", format=".2f"),
    Column(key="front_cores", heading="with taking calls", format=".2f"),
    Column(key="worker_cores", heading="with workers", format=".2f"),
)
LOAD_PROCESSES = 2
KNOWN_CALLS = 8
BESIDE = ", which had to wait: all of this ran at real-time priority, of which the kernel takes 50 ms a second away"
#: The simulator takes so many times as long, and gets so many times fewer calls.
SIMULATED = 20
#: Calls of each client before those that count.
WARMING_CALLS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    what: str
    workers: int
    batch: int
    servers: int = 1
    cached: bool = False
    #: The shipped networks with other numbers of classes, instead of mutations.
    heads: bool = False
    evaluator: str = "analytical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one load process saw."""

    latencies_ms: list[float]
    errors: list[str]
    began: float
    ended: float
    cpu_s: float


def cases(batch: int) -> list[Case]:
    """Rows in order; the second and third are to be compared with the first."""
    return [
        Case(what="new models", workers=1, batch=batch),
        Case(what="new models", workers=2, batch=batch),
        Case(what="new models, one port each", workers=1, servers=2, batch=batch),
        Case(what="new models, small batches", workers=2, batch=max(1, batch // 4)),
        Case(what="new models, one a call", workers=2, batch=1),
        Case(what="shipped models with new heads", workers=2, batch=batch, heads=True),
        Case(what="known models, from the cache", workers=2, batch=32, cached=True),
        Case(what="new models, simulator", workers=1, batch=batch, evaluator="simulator"),
        Case(what="new models, simulator", workers=2, batch=batch, evaluator="simulator"),
    ]


def jobs_of(case: Case, part: int, clients: int, calls: int, before: int) -> list[list[bytes]]:
    """What the clients of one process send; known models are the same few calls' worth for all, again and again."""
    if case.cached:
        return [(heads(case, KNOWN_CALLS, 0) * calls)[:calls]] * clients
    count = clients * calls
    if case.heads:
        found = heads(case, count, before + part * count)
    else:
        found = proposals(case, count, seed=LOAD_PROCESSES * before + part)
    return [found[client::clients] for client in range(clients)]


def proposals(case: Case, count: int, seed: int) -> list[bytes]:
    """Batches of what a search proposes: mutations of networks met shortly before, no two the same."""
    texts = (spec.to_json().encode() for _, spec in walk(seed))
    return [serialized(case, texts) for _ in range(count)]


def heads(case: Case, count: int, first: int) -> list[bytes]:
    """Batches of architectures no other batch holds: shipped ones with other numbers of classes."""
    specs = [spec_of(name) for name in entries()]
    texts = [spec.to_json() for spec in specs if spec.num_classes is not None]
    numbers = range(first * case.batch, (first + count) * case.batch)
    each = (with_classes(texts[n % len(texts)], n // len(texts)) for n in numbers)
    return [serialized(case, each) for _ in range(count)]


def serialized(case: Case, texts: Iterator[bytes]) -> bytes:
    """A batch of the next specs."""
    some = enumerate(islice(texts, case.batch))
    requests = [pb.EstimateRequest(id=n, spec_json=text) for n, text in some]
    batch = pb.EstimateBatchRequest(requests=requests, evaluator=case.evaluator)
    payload: bytes = batch.SerializeToString()
    return payload


def with_classes(text: str, number: int) -> bytes:
    """The spec with another number of classes."""
    return re.sub(r'"num_classes":\d+', f'"num_classes":{number + 2}', text, count=1).encode()


def load(
    addresses: list[str],
    case: Case,
    part: int,
    clients: int,
    calls: int,
    before: int,
    start: Barrier,
    out: Any,
) -> None:
    """One load process: every client has a connection of its own and calls back to back."""
    jobs = jobs_of(case, part, clients, calls, before)
    latencies: list[float] = []
    errors: list[str] = []

    began, ended, cpu_s = asyncio.run(call_all(addresses, jobs, start, latencies, errors))
    out.put(Load(latencies_ms=latencies, errors=errors, began=began, ended=ended, cpu_s=cpu_s))


async def call_all(
    addresses: list[str],
    jobs: list[list[bytes]],
    start: Barrier,
    latencies: list[float],
    errors: list[str],
) -> tuple[float, float, float]:
    """All clients of one process at once; returns begin, end, and the processor time in between."""
    import grpc

    own_pool = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    seen: list[bytes] = []

    async def client(number: int) -> None:
        call = channels[number].unary_unary("/edgezoo.cost.v1.CostService/Estimate")
        for payload in jobs[number]:
            began = time.perf_counter()
            try:
                answer = await call(payload, timeout=60)
            except grpc.RpcError as error:
                errors.append(error.code().name)
                continue
            latencies.append(1e3 * (time.perf_counter() - began))
            if number == 0:
                seen.append(answer)

    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(addresses[n % len(addresses)], options=own_pool)
            )
            for n in range(len(jobs))
        ]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        start.wait()
        began, cpu_s = time.time(), time.process_time()
        await asyncio.gather(*map(client, range(len(jobs))))
        ended, cpu_s = time.time(), time.process_time() - cpu_s
    errors.extend(error for answer in seen for error in failures(answer))
    return began, ended, cpu_s


def failures(answer: bytes) -> list[str]:
    """Items of an answer that are errors; one client looks, since looking takes time too."""
    return [
        response.error.message
        for response in pb.EstimateBatchResponse.FromString(answer).responses
        if response.WhichOneof("outcome") == "error"
    ]


class Server:
    """`edgezoo serve` in a process of its own."""

    def __init__(self, case: Case, folder: Path) -> None:
        store = ["--cache", str(folder / "costs.sqlite3")] if case.cached else ["--no-cache"]
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "pipelines", "serve", "--port", "0", "--workers", str(case.workers),
                "--max-calls", "256", "--drain", "1", *store,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        assert self.process.stderr
        found = re.search(r"grpc://([\d.]+:\d+)", self.process.stderr.readline())
        assert found, "the server did not start"
        self.address = found[1]

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate()

    def cpu_s(self) -> tuple[float, float]:
        """Processor time so far of the process that takes calls, and of its workers."""
        listed = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
        ).stdout.split()  # fmt: skip
        return processor_s(str(self.process.pid)), sum(map(processor_s, listed))


def processor_s(pid: str) -> float:
    """Processor time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(case: Case, clients: int, calls: int) -> dict[str, Any]:
    """Runs a case, the first calls of which warm the workers and do not count."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(Server(case, folder)) for _ in range(case.servers)]
        addresses = [server.address for server in servers]
        warming = min(calls, WARMING_CALLS)
        run_load(addresses, case, clients, warming, before=0)
        before = [server.cpu_s() for server in servers]
        loads = run_load(addresses, case, clients, calls, before=clients * warming)
        after = [server.cpu_s() for server in servers]
    front_s, worker_s = (
        sum(z[part] - a[part] for a, z in zip(before, after, strict=True)) for part in (0, 1)
    )
    latencies = sorted(value for one in loads for value in one.latencies_ms)
    errors = [error for one in loads for error in one.errors]
    seconds = max(one.ended for one in loads) - min(one.began for one in loads)
    for error in sorted(set(errors)):
        print(f"  error: {error}", file=sys.stderr)
    return {
        "what": case.what,
        "servers": case.servers,
        "workers": case.workers,
        "batch": case.batch,
        "calls": len(latencies) + len(errors),
        "errors": len(errors),
        "per_second": round(len(latencies) * case.batch / seconds),
        "p50_ms": round(statistics.median(latencies), 2),
        "p99_ms": round(latencies[int(0.99 * (len(latencies) - 1))], 2),
        "client_cores": round(sum(one.cpu_s for one in loads) / seconds, 3),
        "front_cores": round(front_s / seconds, 3),
        "worker_cores": round(worker_s / seconds, 3),
    }


def run_load(addresses: list[str], case: Case, clients: int, calls: int, before: int) -> list[Load]:
    """What the load processes saw; `before` calls with other models came earlier."""
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(LOAD_PROCESSES), context.Queue()
    each = clients // LOAD_PROCESSES
    processes = [
        context.Process(target=load, args=(addresses, case, part, each, calls, before, start, out))
        for part in range(LOAD_PROCESSES)
    ]
    for process in processes:
        process.start()
    loads = [out.get() for _ in processes]
    for process in processes:
        process.join()
    return loads


def main() -> None:
    """Runs the cases and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--calls", type=int, default=200, help="by each client")
    parser.add_argument(
        "--batch", type=int, default=8, help="models a call where throughput is compared"
    )
    args = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = []
    for case in cases(args.batch):
        few = case.evaluator == "simulator"
        rows.append(
            measure(case, args.clients, max(1, args.calls // SIMULATED if few else args.calls))
        )
        print(rows[-1], flush=True)
    linear, simulated = (
        two["per_second"] / (2 * one["per_second"]) for one, two in (rows[:2], rows[-2:])
    )
    apart = rows[2]["per_second"] / (2 * rows[0]["per_second"])
    beside = [row["client_cores"] + row["front_cores"] for row in rows[:2]]
    per_core = [row["per_second"] / row["worker_cores"] for row in rows[:2]]
    save(
        "cost_service",
        command=f"python benchmarks/cost_service.py --clients {args.clients} --calls {args.calls} --batch {args.batch}",
        columns=COLUMNS,
        rows=rows,
        notes=[
            "New models are mutations, each sent once, of networks of the classification space, as a search proposes "
            f"them, after {WARMING_CALLS} calls of each client that do not count. What else the machine did: load "
            f"{load_before:.1f} before this began{BESIDE if os.sched_getscheduler(0) == os.SCHED_RR else ''}.",
            f"{args.clients} clients on the machine of the service, each calling back to back: what they wait for is "
            "mostly each other.",
            f"Two workers give {linear:.0%} of twice one worker's models/s, two servers {apart:.0%}, and with the "
            f"simulator, which leaves little else to do, {simulated:.0%}: clients and the "
            f"process that takes calls need {beside[0]:.2f} cores beside one worker and {beside[1]:.2f} beside two, "
            f"of {os.cpu_count()} there are.",
            f"A second of worker time gives {per_core[0]:,.0f} models with one worker and {per_core[1]:,.0f} with two "
            f"({per_core[1] / per_core[0]:.0%}): what two would give with a core each, as long as the process that "
            "takes calls has one too.",
        ],
    )


if __name__ == "__main__":
    main()

"""The client: an evaluator whose costs are computed elsewhere, one by one or many at a time."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from hw_model import codec
from hw_model.cost.batch import SpecCost
from hw_model.cost.report import CostReport, OpRow
from hw_model.errors import EdgeZooError, EnvironmentFault, UsageError
from hw_model.graph import Graph, to_json
from hw_model.service import cost_pb2 as pb
from hw_model.service.replicas import Replicas, Security
from hw_model.service.wire import error_of, report_of, short_of
from hw_model.targets import Target, load_target

#: Requests of the first call; later ones take what `CALL_S` is enough for, up to `MOST_PER_CALL`.
FIRST_PER_CALL, MOST_PER_CALL = 8, 64
CALL_S = 0.25
MAX_LANES = 32
#: A person waits for the first answer: an address where nobody listens is told soon.
FIRST_TIMEOUT_S = 10.0
#: A file goes in parts of this size.
PART_BYTES = 1 << 20
#: Requests of one call stay this far below the server's limit.
HEADROOM = 0.75

Outcome = pb.EstimateResponse


class CostClient:
    """Costs on one target by one evaluator, from one or several servers.

    It is an `Evaluator`, so it stands wherever one does; `reports` and `costs` take many models at once. A call
    goes to the least busy server and, when that one dies, to another: costs are pure, so none is lost.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        target: str | os.PathLike[str] | Target = "pixel6",
        evaluator: str = "analytical",
        token: str = "",
        tls: bool = False,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        timeout_s: float = 60.0,
        allow_plaintext_token: bool = False,
    ) -> None:
        """`timeout_s` is how long one call may take, attempts at all servers together.

        Raises:
            UsageError: an address that is none, or a token that would travel in clear text.
            UnknownNameError, SpecError, DataError: as `load_target`.
        """
        if timeout_s <= 0:
            raise UsageError(f"timeout_s must be above 0. Received: {timeout_s}")
        self.target, self._target_message = _target(target)
        self._target_id = self.target.target_id
        self._evaluator = evaluator
        self._timeout_s = timeout_s
        security = Security(
            token=token,
            tls=tls,
            tls_ca=_path(tls_ca),
            tls_cert=_path(tls_cert),
            tls_key=_path(tls_key),
            allow_plaintext_token=allow_plaintext_token,
        )
        self._replicas = Replicas(addresses, security)
        self._lanes = ThreadPoolExecutor(MAX_LANES, thread_name_prefix="cost")

    def __enter__(self) -> "CostClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._replicas.close()
        self._lanes.shutdown(wait=False, cancel_futures=True)

    @property
    def evaluator_id(self) -> str:
        """Name and version of what computes, as the servers say."""
        return str(self._server.evaluator_id)

    def report(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The report in-process evaluation gives.

        Raises:
            EdgeZooError: what in-process evaluation raises, and `EnvironmentFault` when no server answers.
        """
        return self._one(graph, source, pb.DETAIL_REPORT)

    def report_with_rows(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The report with the rows the servers work out; `report` leaves them to be worked out here if asked for."""
        return self._one(graph, source, pb.DETAIL_ROWS)

    def rows(self, graph: Graph) -> tuple[OpRow, ...]:
        """One row for each operation."""
        return self._one(graph, None, pb.DETAIL_ROWS).rows

    def reports(
        self, models: Sequence[Any], *, rows: bool = False
    ) -> list[CostReport | EdgeZooError]:
        """Reports of graphs, specs, models with a spec, or paths of `.tflite` files, in their order.

        A model that cannot be costed has its error in its place.

        Raises:
            EnvironmentFault: no server answers.
        """
        sources = [_source(model) for model in models]
        found = self._ask(sources, pb.DETAIL_ROWS if rows else pb.DETAIL_REPORT)
        for source, outcome in zip(sources, found, strict=True):
            # The servers get the bytes of a file and not its name.
            if isinstance(source, TfliteFile) and outcome.WhichOneof("outcome") == "cost":
                outcome.cost.graph_name = source.path.stem
        return [
            error_of(outcome.error)
            if outcome.WhichOneof("outcome") == "error"
            else report_of(outcome.cost, source=source, target=self.target)
            for source, outcome in zip(sources, found, strict=True)
        ]

    def costs(self, specs: Sequence[Any]) -> list[SpecCost | EdgeZooError]:
        """What a search reads of each model, as `coster_for` gives it; otherwise as `reports`."""
        found = self._ask([_source(spec) for spec in specs], pb.DETAIL_SHORT)
        return [
            error_of(outcome.error)
            if outcome.WhichOneof("outcome") == "error"
            else short_of(outcome.cost)
            for outcome in found
        ]

    def _one(self, graph: Graph, source: Any, detail: "pb.Detail") -> CostReport:
        sent = graph if source is None else _source(source)
        (outcome,) = self._ask([sent], detail)
        if outcome.WhichOneof("outcome") == "error":
            raise error_of(outcome.error)
        outcome.cost.graph_name = graph.name
        return report_of(outcome.cost, source=sent, target=self.target)

    @cached_property
    def _server(self) -> Any:
        """What the servers say of themselves; the first to answer speaks for all."""
        request = pb.DescribeRequest(target=self._target_message, evaluator=self._evaluator)
        answer, address = self._replicas.call(
            lambda stub, timeout_s, metadata: stub.Describe(
                request, timeout=timeout_s, metadata=metadata
            ),
            timeout_s=min(self._timeout_s, FIRST_TIMEOUT_S),
        )
        if answer.target_id != self._target_id:
            raise EnvironmentFault(
                f"{address} has another {self.target.name}: {answer.target_id}, here it is "
                f"{self._target_id}; run one version on both sides, or give the target as a file."
            )
        return answer

    def _ask(self, sources: Sequence[Any], detail: "pb.Detail") -> list[Outcome]:
        """One answer for each source, in order."""
        server = self._server
        requests = [
            _request(number, source, detail, server.reads_specs)
            for number, source in enumerate(sources)
        ]
        work = _Work(requests, server.max_message_bytes, server.max_batch)
        lanes = min(MAX_LANES, (server.workers + 1) * len(self._replicas.addresses))
        lanes = min(lanes, -(-len(requests) // FIRST_PER_CALL))
        if lanes <= 1:
            self._lane(work)
            return work.answers()
        futures = [self._lanes.submit(self._lane, work) for _ in range(lanes)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            work.stop()
            raise
        return work.answers()

    def _lane(self, work: "_Work") -> None:
        """Takes requests and puts answers until none are left."""
        while chunk := work.take():
            started = time.monotonic()
            if len(chunk) == 1 and work.too_large(chunk[0]):
                outcomes = [self._send_large(chunk[0], work)]
            else:
                outcomes = self._send(chunk)
            work.put(outcomes, time.monotonic() - started)

    def _send(self, chunk: "list[pb.EstimateRequest]") -> list[Outcome]:
        batch = pb.EstimateBatchRequest(
            requests=chunk, target=self._target_message, evaluator=self._evaluator
        )
        answer, address = self._replicas.call(
            lambda stub, timeout_s, metadata: stub.Estimate(
                batch, timeout=timeout_s, metadata=metadata
            ),
            timeout_s=self._timeout_s,
        )
        return self._checked(list(answer.responses), [request.id for request in chunk], address)

    def _send_large(self, request: "pb.EstimateRequest", work: "_Work") -> Outcome:
        """A file in parts; nothing else may be larger than a message."""
        if request.WhichOneof("model") != "tflite":
            size = request.ByteSize()
            error = pb.Error(
                kind=pb.Error.USAGE,
                message=f"The servers take {work.max_bytes:,} bytes for one model. Received: {size:,}",
            )
            return pb.EstimateResponse(id=request.id, error=error)
        answers, address = self._replicas.call(
            lambda stub, timeout_s, metadata: list(
                stub.EstimateStream(
                    _parts(
                        request,
                        self._target_message,
                        self._evaluator,
                        part_bytes=min(PART_BYTES, work.max_bytes),
                    ),
                    timeout=timeout_s,
                    metadata=metadata,
                )
            ),
            timeout_s=self._timeout_s,
        )
        return self._checked(answers, [request.id], address)[0]

    def _checked(self, found: list[Outcome], ids: list[int], address: str) -> list[Outcome]:
        """Answers that belong to the requests and come from the same evaluator as all others."""
        if [outcome.id for outcome in found] != ids:
            raise EnvironmentFault(
                f"{address} answers {len(found)} of {len(ids)} requests; is it a cost service of this version?"
            )
        expected = (self._target_id, self.evaluator_id)
        for outcome in found:
            if outcome.WhichOneof("outcome") != "cost":
                continue
            given = (outcome.cost.target_id, outcome.cost.evaluator_id)
            if given != expected:
                raise EnvironmentFault(
                    f"{address} costs by {'/'.join(given)}, others by {'/'.join(expected)}; run one version everywhere."
                )
        return found


class _Work:
    """Requests that lanes share: each takes as many as it is likely to get answered in `CALL_S`."""

    def __init__(
        self, requests: "list[pb.EstimateRequest]", max_message_bytes: int, max_batch: int
    ) -> None:
        self.max_bytes = int(max_message_bytes * HEADROOM)
        self._most = min(MOST_PER_CALL, max_batch)
        self._requests = requests
        self._next = 0
        self._answers: list[Outcome | None] = [None] * len(requests)
        self._item_s: float | None = None
        self._lock = threading.Lock()

    def too_large(self, request: "pb.EstimateRequest") -> bool:
        """Whether a request exceeds a message on its own."""
        return int(request.ByteSize()) > self.max_bytes

    def take(self) -> "list[pb.EstimateRequest]":
        """The next requests; none when all are taken."""
        with self._lock:
            count = FIRST_PER_CALL
            if self._item_s is not None:
                count = max(1, int(CALL_S / max(self._item_s, 1e-6)))
            chunk: list[pb.EstimateRequest] = []
            size = 0
            for request in self._requests[self._next : self._next + min(count, self._most)]:
                size += request.ByteSize()
                if chunk and size > self.max_bytes:
                    break
                chunk.append(request)
            self._next += len(chunk)
            return chunk

    def put(self, outcomes: list[Outcome], seconds: float) -> None:
        """Keeps answers and learns how long one takes."""
        with self._lock:
            for outcome in outcomes:
                self._answers[outcome.id] = outcome
            item_s = seconds / len(outcomes)
            self._item_s = item_s if self._item_s is None else (self._item_s + item_s) / 2

    def stop(self) -> None:
        """Nothing more is taken."""
        with self._lock:
            self._next = len(self._requests)

    def answers(self) -> list[Outcome]:
        """All of them, in order."""
        return [outcome for outcome in self._answers if outcome is not None]


def _target(target: str | os.PathLike[str] | Target) -> "tuple[Target, pb.Target]":
    """The target here, and what the servers are told of it."""
    if isinstance(target, Target):
        from hw_model.targets import list_targets

        if target.name not in list_targets() or load_target(target.name) != target:
            raise UsageError(
                f"The servers do not know {target.name}; give the path of its TOML file instead."
            )
        return target, pb.Target(name=target.name)
    loaded = load_target(target)
    if isinstance(target, str) and not target.endswith(".toml"):
        return loaded, pb.Target(name=target)
    return loaded, pb.Target(toml=Path(target).read_text(encoding="utf-8"))


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _source(model: Any) -> Any:
    """A graph, a spec, or a `.tflite` file."""
    if isinstance(model, Graph | TfliteFile):
        return model
    if isinstance(model, str | os.PathLike):
        return TfliteFile(Path(model))
    spec = getattr(model, "spec", model)
    if not callable(getattr(spec, "graph", None)):
        raise UsageError(
            "Only a graph, a .tflite file, a spec, or a model built from a spec can be costed. "
            f"Received: {type(model).__name__}"
        )
    return spec


class TfliteFile:
    """A file whose bytes the servers get, and whose graph is read here when somebody asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def graph(self) -> Graph:
        """Its main subgraph."""
        from hw_model.io import read_tflite

        return read_tflite(self.path)

    def read(self) -> bytes:
        """Its bytes."""
        from hw_model.errors import DataError

        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"Cannot read {self.path}: {error.strerror or error}") from error


def _request(
    number: int, source: Any, detail: "pb.Detail", reads_specs: bool
) -> "pb.EstimateRequest":
    request = pb.EstimateRequest(id=number, detail=detail)
    if isinstance(source, TfliteFile):
        request.tflite = source.read()
    elif isinstance(source, Graph):
        request.graph_json = to_json(source).encode()
    elif reads_specs:
        request.spec_json = codec.dumps(source).encode()
    else:
        request.graph_json = to_json(source.graph()).encode()
    return request


def _parts(
    request: "pb.EstimateRequest", target: "pb.Target", evaluator: str, *, part_bytes: int
) -> "Iterator[pb.EstimateRequest]":
    data = request.tflite
    for start in range(0, len(data), part_bytes):
        more = start + part_bytes < len(data)
        part = pb.EstimateRequest(id=request.id, tflite=data[start : start + part_bytes], more=more)
        if start == 0:
            part.target.CopyFrom(target)
            part.evaluator, part.detail = evaluator, request.detail
        yield part

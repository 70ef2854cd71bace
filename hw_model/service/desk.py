"""Answers requests one by one, from the cache where it can: what every worker process does."""

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from hw_model.cost.batch import SpecCost
from hw_model.errors import EdgeZooError, UsageError
from hw_model.graph import Graph, from_json
from hw_model.service import cost_pb2 as pb
from hw_model.service.bench import Bench, Benches
from hw_model.service.cache import CostCache
from hw_model.service.wire import (
    REPORT_FIELDS,
    LimitError,
    UnsupportedModelError,
    error_message,
    pack,
    pack_rows,
)

LOG = logging.getLogger("edgezoo.service")
_DETAILS = frozenset(pb.Detail.values())
#: From JSON text to a spec: the zoo's, which this package does not import. Raises `SpecError`.
SpecReader = Callable[[bytes], Any]
#: A spec has about 3 kB; one of many times that is an attempt at something else.
SPEC_BYTES = 1 << 16


class Desk:
    """Costs what requests hold; one for each process."""

    def __init__(self, *, cache: CostCache | None, spec_reader: SpecReader | None) -> None:
        self._cache = cache
        self._read_spec = spec_reader
        self._benches = Benches()
        self._declared: dict[bytes, float] = {}

    def answer(
        self, request: "pb.EstimateRequest", target: "pb.Target", evaluator: str
    ) -> "pb.EstimateResponse":
        """The cost, or the error that stands for it; never raises.

        `target` and `evaluator` are for a request that names none.
        """
        response = pb.EstimateResponse(id=request.id)
        try:
            own = request.target if request.HasField("target") else target
            bench = self._benches.of(own, request.evaluator or evaluator)
            response.cached = self._fill(response.cost, request, bench)
        except EdgeZooError as error:
            response.error.CopyFrom(error_message(error))
        except (MemoryError, RecursionError, OverflowError) as error:
            # What strict readers let through of sizes and depths nobody builds.
            limit = LimitError(
                f"The model is beyond what this server computes with ({type(error).__name__}); check its sizes."
            )
            response.error.CopyFrom(error_message(limit))
        except Exception as error:
            LOG.exception("a request failed")
            response.error.CopyFrom(error_message(error))
        return response

    def flush(self) -> None:
        """Stores what was computed since the last call."""
        if self._cache is not None:
            self._cache.flush()

    def _fill(self, cost: "pb.Cost", request: "pb.EstimateRequest", bench: Bench) -> bool:
        """Writes the cost into its message; whether it came from the cache."""
        kind, data = _content(request)
        if self._cache is None:
            self._compute(cost, self._model(kind, data), request.detail, bench)
            return False
        key = _key(kind, data, request.detail, bench)
        if self._stored(cost, key, self._cache):
            return True
        model = self._model(kind, data)
        canonical = _canonical(kind, data)
        if canonical is not data:
            key = _key(kind, canonical, request.detail, bench)
            if self._stored(cost, key, self._cache):
                return True
        self._compute(cost, model, request.detail, bench)
        self._cache.put(key, cost.SerializeToString())
        return False

    def _stored(self, cost: "pb.Cost", key: bytes, cache: CostCache) -> bool:
        value = cache.get(key)
        if value is None:
            return False
        try:
            cost.ParseFromString(value)
        except DecodeError:
            return False
        return True

    def _model(self, kind: str, data: bytes) -> Any:
        if kind == "graph_json":
            return from_json(data)
        if kind == "tflite":
            from hw_model.io.tflite import read_tflite

            return read_tflite(data)
        if self._read_spec is None:
            raise UnsupportedModelError("This server reads no specs; send the graph of the model.")
        if len(data) > SPEC_BYTES:
            raise UsageError(f"A spec has at most {SPEC_BYTES:,} bytes. Received: {len(data):,}")
        return self._read_spec(data)

    def _compute(self, cost: "pb.Cost", model: Any, detail: int, bench: Bench) -> None:
        if detail == pb.DETAIL_SHORT:
            short = bench.coster(model)
            pack(cost, short, SpecCost._fields)
            cost.target_id = bench.target_id
            cost.evaluator_id = bench.evaluator.evaluator_id
            cost.declared_error = self._declared_error(model, bench)
            return
        graph = _graph(model)
        report = bench.evaluator.report(graph, source=model)
        pack(cost, report, REPORT_FIELDS)
        cost.weights = graph.param_count
        if detail == pb.DETAIL_ROWS:
            pack_rows(cost, report.rows)

    def _declared_error(self, model: Any, bench: Bench) -> float:
        """The same for every model of a bench, so one report tells it."""
        known = self._declared.get(bench.key)
        if known is None:
            known = bench.evaluator.report(_graph(model), source=model).declared_error
            self._declared[bench.key] = known
        return known


def _graph(model: Any) -> Graph:
    graph: Graph = model if isinstance(model, Graph) else model.graph()
    return graph


def _content(request: "pb.EstimateRequest") -> tuple[str, bytes]:
    kind = request.WhichOneof("model")
    if kind is None:
        raise UsageError("A request holds a spec, a graph or a .tflite file; this one holds none.")
    if request.more:
        raise UsageError("A file in parts goes through EstimateStream; a batch holds whole files.")
    if request.detail not in _DETAILS:
        raise UsageError(f"detail must be one of {pb.Detail.keys()}. Received: {request.detail}")
    return kind, getattr(request, kind)


def _key(kind: str, data: bytes, detail: int, bench: Bench) -> bytes:
    digest = hashlib.sha256(data).digest()
    return hashlib.sha256(bench.key + digest + f"{kind}/{detail}".encode()).digest()


def _canonical(kind: str, data: bytes) -> bytes:
    """JSON that was read already, with sorted keys and no spaces; `data` itself where that is what it is.

    Text without a space is taken as it is: two orders of its keys are then costed twice, and nothing else.
    """
    if kind == "tflite" or not any(space in data for space in (b" ", b"\n", b"\t")):
        return data
    text = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()
    return data if text == data else text

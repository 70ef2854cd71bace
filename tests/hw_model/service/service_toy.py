"""Readers of specs that worker processes import: the zoo's, and one that dies or hangs when told to."""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from hw_model import codec
from hw_model.graph import Graph, GraphBuilder
from hw_model.service import cost_pb2 as pb
from model_zoo.spec import from_json


def reader(data: bytes) -> Any:
    """The zoo's reader; `"die"` kills the process that reads it, `"hang"` keeps it, `"bug"` is a mistake of ours."""
    if data == b'"die"':
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b'"hang"':
        time.sleep(600)
    if data == b'"bug"':
        raise KeyError("a mistake of ours")
    if data.startswith(b'{"slow":'):
        time.sleep(0.2)
        return codec.loads(Slow, data)
    return from_json(data)


@dataclass(frozen=True)
class Slow:
    """A spec that takes 0.2 s to read."""

    slow: int

    def graph(self) -> Graph:
        """A small network."""
        return tiny(8 * self.slow + 8)

    def request(self) -> "pb.EstimateRequest":
        """What asks for its cost."""
        return pb.EstimateRequest(id=self.slow, spec_json=codec.dumps(self).encode())


def tiny(filters: int = 16, name: str = "tiny") -> Graph:
    """A convolution and a classifier."""
    b = GraphBuilder()
    x = b.conv(b.input((1, 8, 8, 3)), filters, 3, stride=2, name="stem")
    x = b.activation(b.batch_norm(x, name="norm"), "relu", name="relu")
    return b.finish(b.dense(b.global_pool(x, name="pool"), 10, name="logits"), name=name)

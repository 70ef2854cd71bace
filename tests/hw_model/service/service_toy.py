"""Readers of specs that worker processes import: the zoo's, and one that dies or hangs when told to."""

import os
import signal
import time
from typing import Any

from hw_model.graph import Graph, GraphBuilder
from model_zoo.spec import from_json


def reader(data: bytes) -> Any:
    """The zoo's reader; `"die"` kills the process that reads it, `"hang"` keeps it, `"bug"` is a mistake of ours."""
    if data == b'"die"':
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b'"hang"':
        time.sleep(600)
    if data == b'"bug"':
        raise KeyError("a mistake of ours")
    if data.startswith(b'"slow'):
        time.sleep(0.2)
        return Slow()
    return from_json(data)


class Slow:
    """A spec that takes its time."""

    def graph(self) -> Graph:
        """A small network."""
        return tiny()


def tiny(filters: int = 16, name: str = "tiny") -> Graph:
    """A convolution and a classifier."""
    b = GraphBuilder()
    x = b.conv(b.input((1, 8, 8, 3)), filters, 3, stride=2, name="stem")
    x = b.activation(b.batch_norm(x, name="norm"), "relu", name="relu")
    return b.finish(b.dense(b.global_pool(x, name="pool"), 10, name="logits"), name=name)

"""What the specs of all networks have in common: JSON, an identity, a graph."""

import hashlib
from functools import cache
from typing import Any

from hw_model import codec
from hw_model.graph import Builder, Graph, GraphBuilder
from model_zoo.spec.base import Node


class Network(Node):
    """A whole network as a value."""

    __slots__ = ()

    def to_json(self, *, indent: int | None = None) -> str:
        """Canonical JSON text."""
        return codec.dumps(self, indent=indent)

    @property
    def spec_id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON: the identity of the architecture."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @property
    def num_classes(self) -> int | None:
        """Classes its head tells apart; None without such a head."""
        return getattr(getattr(self, "head", None), "num_classes", None)

    def graph(self) -> Graph:
        """The network as a graph of operations, as it is trained."""
        graph: Graph = self.lower(GraphBuilder())
        return graph

    def lower(self, builder: Builder[Any, Any]) -> Any:
        """What `builder` makes of the network: `graph()` for any other reader."""
        return _lower()(self, builder)


@cache
def _lower() -> Any:
    """The lowering, imported late because it imports the specs."""
    from model_zoo.lowering import lower

    return lower

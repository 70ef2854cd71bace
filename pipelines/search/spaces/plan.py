"""Spaces whose template is not a spec but a plan, from which the spec follows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from model_zoo.spec import ModelSpec, Space

#: Stands in a plan for whatever makes no difference to its network.
ANY: Any = type("Any", (), {"__repr__": lambda _: "ANY"})()


class Plan(Protocol):
    """A network as its choices: a `Node` that may have open leaves."""

    def spec(self) -> ModelSpec:
        """The network."""


class PlanSpace(Space[ModelSpec]):
    """The networks of an open plan; `plan_of` is the plan of a network, None where there is none."""

    def __init__(self, plan: Plan, plan_of: Callable[[ModelSpec], Plan | None]) -> None:
        super().__init__(cast(ModelSpec, plan))
        self.plan_of = plan_of

    def bind(self, genotype: Sequence[int] | Mapping[str, Any]) -> ModelSpec:
        """The network a genotype stands for; raises `UsageError` for a wrong length or value."""
        return cast(Plan, super().bind(genotype)).spec()

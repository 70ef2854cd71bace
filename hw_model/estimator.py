"""One call for everything that can be costed: a Keras model of the zoo, a spec, a graph, a `.tflite` file."""

import os
from pathlib import Path
from typing import Any

from hw_model.cost import CostReport, evaluator_for
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets import Target, load_target


def estimate(
    model: Any,
    *,
    target: str | os.PathLike[str] | Target = "pixel6",
    evaluator: str = "analytical",
) -> CostReport:
    """Predicted latency and energy of one inference at batch size 1.

    `model` is a `Graph`, a path to a `.tflite` file, a spec (anything whose `graph()` returns a `Graph`) or
    a model that carries one as `.spec`. `target` is a name, a path to a TOML file, or a `Target`;
    `evaluator` is a name of `hw_model.cost.EVALUATORS`.

    Raises:
        UnknownNameError: no such target or evaluator.
        SpecError: a target file or graph that breaks a rule.
        DataError: a file that cannot be read.
        UsageError: `model` is none of the above.
    """
    chosen = target if isinstance(target, Target) else load_target(target)
    source = _source(model)
    return evaluator_for(chosen, evaluator).report(graph_of(source), source=source)


def graph_of(model: Any) -> Graph:
    """The graph behind whatever a user has; raises as `estimate` does."""
    source = _source(model)
    graph = source if isinstance(source, Graph) else source.graph()
    if not isinstance(graph, Graph):
        raise _cannot(model)
    return graph


def _source(model: Any) -> Any:
    """A graph, or the spec that gives it: small, frozen, and enough to see every operation later."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | os.PathLike):
        return _from_file(Path(model))
    spec = getattr(model, "spec", model)
    if not callable(getattr(spec, "graph", None)):
        raise _cannot(model)
    return spec


def _cannot(model: Any) -> UsageError:
    return UsageError(
        "Only a graph, a .tflite file, a spec, or a model built from a spec can be costed; export any other "
        f"model to .tflite first. Received: {type(model).__name__}"
    )


def _from_file(path: Path) -> Graph:
    if path.suffix != ".tflite":
        raise UsageError(
            "A path must end in .tflite; an architecture's name becomes a spec by "
            f"model_zoo.create_spec(name). Received: {str(path)!r}"
        )
    from hw_model.io.tflite import read_tflite

    return read_tflite(path)

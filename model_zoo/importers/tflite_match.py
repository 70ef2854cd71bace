"""Which network of the zoo a `.tflite` file holds: its operations compared with those of specs, one by one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from hw_model.errors import DataError, SpecError, UsageError
from hw_model.graph import Graph, GroupForm, diff_graphs, ops, to_inference, wiring
from hw_model.graph.passes import Steps
from hw_model.io.tflite import Whole, read_whole
from hw_model.io.tflite_file import FileOperator, Source
from model_zoo import presets, registry
from model_zoo.create import create_spec
from model_zoo.importers.tflite_form import DETECTIONS, essence, without_detections
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ClassifierHead, ModelSpec
from model_zoo.spec.reading import Spec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.text import MaskedLmHead, SentenceHead, SpanHead, TextHead, TextSpec

#: Multipliers of widths a file is compared with, beside the one its first layer tells.
WIDTHS = (1.0, 0.25, 0.35, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0)
_CODE_SIZE = 4
_SHOWN_LINES = 2
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """A spec whose executed operations are those of a file.

    `operators` are the file's by the names of the spec's executed graph. `inputs` says for each of the network's
    inputs which one of the file's it is.
    """

    name: str
    spec: Spec
    group_form: GroupForm
    ranged: bool
    whole: Whole
    operators: dict[str, FileOperator]
    inputs: tuple[int, ...]

    @property
    def title(self) -> str:
        """Name of the architecture, whatever its width."""
        return self.name.partition(" ")[0]

    def steps(self, graph: Graph) -> Steps:
        """What the file executes of the spec's graph."""
        return Steps(graph, self.group_form, ranged=self.ranged)


def match_file(source: Source, spec: Spec | None = None, *, name: str | None = None) -> Match:
    """The network a file holds: `spec`, which errors call `name`, or one of the zoo.

    Either has the file's image size, classes, sequence length and width.

    Raises:
        DataError: unreadable; or not operation by operation what it is compared with, which the message names.
    """
    whole = read_whole(source)
    _refuse_unknown(whole)
    search = _Search(whole)
    called = name or (spec.family if spec is not None else "")
    found = None if spec is None else search.try_all(_adapted(called, spec, search.graph))
    if found is not None:
        return found
    differs = search.nearest_lines()
    found = search.try_all(_zoo(search.graph))
    if found is not None and spec is None:
        return found
    file = whole.file.source
    if spec is None:
        raise DataError(f"{file} is no network of this zoo: {search.problem()}")
    line = f"{file} does not hold {called}, from which it differs in {differs}"
    raise DataError(line if found is None else f"{line}; it looks like {found.name}")


def _refuse_unknown(whole: Whole) -> None:
    """Names operators that no network here has, before a search that can find nothing."""
    kinds = [op.type for op in whole.graph.ops]
    unknown = {kind.code for kind in kinds if isinstance(kind, ops.Opaque)} - {DETECTIONS, "GATHER"}
    if unknown:
        raise DataError(
            f"{whole.file.source} has operators that no network of this zoo has: {', '.join(sorted(unknown))}"
        )


class _Search:
    """One file compared with one spec after the other; remembers the nearest."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        raw = without_detections(whole.graph)
        # Two outputs may come in either order.
        count = len(raw.outputs)
        orders = tuple(permutations(range(count))) if count == 2 else (tuple(range(count)),)
        self._found = [
            essence(replace(raw, outputs=tuple(raw.outputs[place] for place in order)))
            for order in orders
        ]
        self.graph = self._found[0]
        self._sizes = _kernel_sizes(self.graph)
        # Share of kernels, name, and executed graph.
        self._best: tuple[float, str, Graph] | None = None

    def try_all(self, candidates: Iterator[tuple[str, Spec]]) -> Match | None:
        """The first candidate the file is."""
        for name, spec in candidates:
            graph = spec.graph()
            for form, ranged in _forms(spec, graph):
                executed = to_inference(graph, group_form=form, ranged=ranged)
                sizes = _kernel_sizes(executed)
                self._remember(name, executed, sizes)
                if sizes != self._sizes:
                    continue
                expected = essence(executed)
                for found in self._found:
                    if _keys(expected) == _keys(found) and not wiring(expected, found):
                        operators, inputs = self._joined(expected, found)
                        return Match(
                            name=name,
                            spec=spec,
                            group_form=form,
                            ranged=ranged,
                            whole=self._whole,
                            operators=operators,
                            inputs=inputs,
                        )
        return None

    def _joined(
        self, expected: Graph, found: Graph
    ) -> tuple[dict[str, FileOperator], tuple[int, ...]]:
        """Operators and inputs of the file for those of a graph it equals."""
        operators = {
            ours.name: self._whole.operators[theirs.name]
            for ours, theirs in zip(expected.ops, found.ops, strict=True)
            if theirs.name in self._whole.operators
        }
        inputs = dict(zip(expected.inputs, found.inputs, strict=True))
        return operators, tuple(inputs[index] for index in sorted(inputs))

    def _remember(self, name: str, executed: Graph, sizes: Counter[int]) -> None:
        share = (sizes & self._sizes).total() / max(sizes.total(), self._sizes.total(), 1)
        if self._best is None or share > self._best[0]:
            self._best = (share, name, executed)

    def problem(self) -> str:
        """What the file is nearest to, and where it begins to differ."""
        if self._best is None:
            shapes = [list(self.graph.tensors[index].shape) for index in self.graph.inputs]
            return f"none reads inputs of the shapes {shapes}"
        share, name, _ = self._best
        return (
            f"{share:.0%} of its kernels are as large as those of {name}, the nearest, from which it differs in "
            f"{self.nearest_lines()}; name its architecture with --model, such as a spec.json"
        )

    def nearest_lines(self) -> str:
        """The first differences to the nearest candidate: `-` is the candidate's, `+` the file's."""
        if self._best is None:
            return "it reads other inputs"
        expected = essence(self._best[2])
        lines = diff_graphs(expected, self.graph) or wiring(expected, self.graph)
        return "; ".join(line[:_SHOWN_CHARACTERS] for line in lines[:_SHOWN_LINES])


def _forms(spec: Spec, graph: Graph) -> Iterator[tuple[GroupForm, bool]]:
    """The ways a graph may be executed: form of group convolutions, and whether ranges were learned."""
    grouped = any(isinstance(op.type, ops.GroupConv2D) for op in graph.ops)
    yield "split", False
    if grouped:
        yield "native", False
    if isinstance(spec, TextSpec):
        yield "split", True


def _kernel_sizes(graph: Graph) -> Counter[int]:
    """How many kernels an executed graph has of each number of weights: most networks are told apart by that."""
    kinds = (ops.Conv2D, ops.DepthwiseConv2D, ops.Dense)
    return Counter(graph.params(op)[0].size for op in graph.ops if isinstance(op.type, kinds))


def _keys(graph: Graph) -> list[object]:
    """Each operation with the shapes around it."""
    return [(op.type, graph.input_shapes(op), graph.output_shapes(op)) for op in graph.ops]


def _zoo(graph: Graph) -> Iterator[tuple[str, Spec]]:
    """Architectures and presets, made as much like a file's graph as their settings allow."""
    for name in registry.entries():
        yield from _adapted(name, registry.spec_of(name), graph)
    for name in presets.names():
        yield from _adapted(name, presets.spec_of(name), graph)


def _adapted(name: str, spec: Spec, graph: Graph) -> Iterator[tuple[str, Spec]]:
    """A spec as it is if it can be, and at the sizes of a file."""
    seen = set()
    for label, changed in _changed(name, spec, graph):
        if changed.spec_id not in seen:
            seen.add(changed.spec_id)
            yield label, changed


def _changed(name: str, spec: Spec, graph: Graph) -> Iterator[tuple[str, Spec]]:
    shapes = [graph.tensors[index].shape for index in graph.inputs]
    if isinstance(spec, TextSpec):
        if all(len(shape) == 2 for shape in shapes):
            yield from _texts(name, spec, graph)
    elif len(shapes) == 1 and len(shapes[0]) == 4:
        yield from _images(name, spec, graph)


def _images(name: str, spec: ModelSpec, graph: Graph) -> Iterator[tuple[str, Spec]]:
    height, width, channels = graph.tensors[graph.inputs[0]].shape[1:]
    stem = next((op.type for op in graph.ops if isinstance(op.type, ops.Conv2D)), None)
    if stem is None:
        return
    for factor in dict.fromkeys((*WIDTHS, stem.filters / spec.backbone.stem.filters)):
        for strides in ("published", "fit"):
            try:
                changed = create_spec(
                    spec,
                    input_shape=(height, width, channels),
                    width=factor,
                    strides=strides,
                    backbone=spec.head is None or len(graph.outputs) > 2,
                    **_head_settings(spec, graph),
                )
            except (SpecError, UsageError):
                continue
            assert isinstance(changed, ModelSpec)
            if factor == 1.0 or changed.backbone.stem.filters == stem.filters:
                yield name if factor == 1.0 else f"{name} at width {factor:g}", changed


def _head_settings(spec: ModelSpec, graph: Graph) -> dict[str, Any]:
    """Classes, activation and output a file's graph ends with, as far as a head has such settings."""
    ends = [graph.tensors[index].shape[-1] for index in graph.outputs]
    if isinstance(spec.head, ClassifierHead):
        last = graph.ops[graph.producers[graph.outputs[0]]].type
        sigmoid = isinstance(last, ops.Activation) and last.function == "sigmoid"
        activation = "softmax" if isinstance(last, ops.Softmax) else "sigmoid" if sigmoid else None
        return {"num_classes": ends[0], "classifier_activation": activation}
    if isinstance(spec.head, BifpnHead | DeepLabHead):
        for op in graph.ops:
            shape = graph.tensors[op.inputs[0]].shape
            if isinstance(op.type, ops.ArgMax):
                return {"num_classes": shape[-1], "output": "argmax"}
            if isinstance(op.type, ops.Reduce) and op.type.function == "max":
                return {"num_classes": shape[-1], "output": f"fused_argmax_{shape[1]}"}
        return {"num_classes": ends[0], "output": "logits"}
    if isinstance(spec.head, SsdHead):
        scores = next((width for width in ends if width != _CODE_SIZE), _CODE_SIZE)
        return {"num_classes": scores - 1}
    return {}


def _texts(name: str, spec: TextSpec, graph: Graph) -> Iterator[tuple[str, Spec]]:
    length = graph.tensors[graph.inputs[0]].shape[1]
    tables = [op.type for op in graph.ops if isinstance(op.type, ops.Embedding)]
    rows = max((table.rows for table in tables), default=1)
    types = [t.rows for t in tables if t.width == spec.encoder.hidden and t.rows != rows]
    try:
        # A file holds the rows of its own positions alone.
        size = replace(
            spec.input,
            sequence_length=length,
            max_length=length,
            vocabulary_size=rows,
            types=types[0] if types else spec.input.types,
        )
        yield name, replace(spec, input=size, head=_text_head(spec, graph))
    except SpecError:
        return


def _text_head(spec: TextSpec, graph: Graph) -> TextHead | None:
    """The head whose outputs a file has."""
    shapes = [graph.tensors[index].shape for index in graph.outputs]
    if len(graph.inputs) == 4:
        predictions = next((shape[1] for shape in shapes if len(shape) == 3), 1)
        return MaskedLmHead(predictions=predictions, next_sentence=len(shapes) == 2)
    if len(shapes) == 1:
        tanh = any(
            isinstance(op.type, ops.Activation) and op.type.function == "tanh" for op in graph.ops
        )
        return SentenceHead(num_classes=shapes[0][-1], units=spec.encoder.hidden if tanh else None)
    return SpanHead() if shapes[0] == shapes[1] else None

"""Turns the operators of a `.tflite` file into the operations of a graph, one after the other."""

from collections import Counter

from hw_model.errors import SpecError
from hw_model.graph.ops import Opaque, OpType
from hw_model.graph.types import DType, Graph, Op, Shape, Tensor
from hw_model.io.tflite_call import Call, Chain, Plan, dtype_of
from hw_model.io.tflite_file import FileOperator, TFLiteFile
from hw_model.io.tflite_notes import notes_on
from hw_model.io.tflite_ops import opaque, plan_of

#: Shapes are fixed before anything runs, so what depends on nothing else is a constant.
_STATIC = frozenset({"SHAPE", "RANK"})


class Reading:
    """One pass over a file's operators."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file = file
        self._constants = set(file.constants())
        self._tensors: list[Tensor] = []
        self._ops: list[Op] = []
        self._names: Counter[str] = Counter()
        self._taken: set[str] = set()
        #: What each operation of the graph was read from, by its name.
        self.origins: dict[str, FileOperator] = {}
        self._index: dict[int, int] = {}
        # Tensors whose sizes the file leaves open: what it says of them may contradict what follows from them.
        self._open = {index for index, tensor in enumerate(file.tensors) if tensor.dynamic}
        self._left_out: Counter[str] = Counter()

    def graph(self, name: str) -> Graph:
        """The whole file as a graph, without operators that have no effect."""
        file = self._file
        if len(set(file.inputs)) != len(file.inputs):
            raise SpecError("inputs", f"name a tensor twice. Received: {file.inputs[:16]}")
        for index in file.inputs:
            self._add_tensor(index, file.tensors[index].shape)
        used = _used_operators(file)
        for position, operator in enumerate(file.operators):
            if position in used:
                self._add(position, operator)
            else:
                self._left_out[operator.code] += 1
        inputs = tuple(self._known("inputs", index) for index in file.inputs)
        computed = [index for index in file.outputs if index not in self._constants]
        outputs = tuple(self._known("outputs", index) for index in computed)
        notes = notes_on(file, self._tensors, self._left_out)
        return Graph(tuple(self._tensors), tuple(self._ops), inputs, outputs, name, notes)

    def _known(self, path: str, index: int) -> int:
        if index not in self._index:
            label = self._file.tensors[index].name
            raise SpecError(path, f"tensor {label!r} has no value when it is needed")
        return self._index[index]

    def _add_tensor(self, index: int, shape: Shape) -> None:
        tensor = self._file.tensors[index]
        if tensor.shape not in ((), shape):  # old converters leave shapes out
            raise SpecError(f"tensor {tensor.name!r}", f"must be {shape}. Received: {tensor.shape}")
        self._tensors.append(Tensor(tensor.name, shape, dtype_of(tensor)))
        self._index[index] = len(self._tensors) - 1

    def _add(self, position: int, operator: FileOperator) -> None:
        """Appends the operations of one operator; one that reads constants only makes constants."""
        activations = tuple(
            index for index in operator.inputs if index >= 0 and index not in self._constants
        )
        if not activations or operator.code in _STATIC:
            self._constants.update(operator.outputs)
            self._left_out[operator.code] += 1
            return
        path = f"operators[{position}] {operator.code}"
        sources = tuple(self._known(path, index) for index in activations)
        call = Call(
            file=self._file,
            operator=operator,
            activations=activations,
            input_shapes=self._shapes(sources),
        )
        if not operator.outputs:
            raise SpecError(path, "must write at least one tensor")
        is_open = not self._open.isdisjoint(activations)
        made = (len(self._tensors), len(self._ops))
        try:
            plan = plan_of(call)
            self._build(call, plan, sources)
        except SpecError as error:
            if not is_open:
                raise error.under(path) from None
            self._forget(operator, made)
            plan = opaque(call)
            self._build(call, plan, sources)
        self.origins |= {op.name: operator for op in self._ops[made[1] :]}
        if is_open or (isinstance(plan.chain[-1], Opaque) and () in call.stated_shapes):
            self._open.update(operator.outputs)

    def _forget(self, operator: FileOperator, made: tuple[int, int]) -> None:
        """Takes back what an operator began to add."""
        del self._tensors[made[0] :], self._ops[made[1] :]
        for index in operator.outputs:
            if self._index.get(index, -1) >= made[0]:
                del self._index[index]

    def _build(self, call: Call, plan: Plan, sources: tuple[int, ...]) -> None:
        """Appends the operations of a plan; those at its end write the tensors of the file."""
        if plan.before:
            each = zip(sources, plan.before, strict=True)
            sources = tuple(self._chain(call, chain, (source,))[0] for source, chain in each)
        sources = self._chain(call, plan.chain[:-1], sources)
        if not plan.after:
            self._write(call, plan.chain[-1], sources, call.operator.outputs)
            return
        parts = self._chain(call, plan.chain[-1:], sources)
        for part, step, output in zip(parts, plan.after, call.operator.outputs, strict=True):
            self._write(call, step, (part,), (output,))

    def _chain(self, call: Call, chain: Chain, sources: tuple[int, ...]) -> tuple[int, ...]:
        """Operations whose results the file does not name."""
        for step in chain:
            first = len(self._tensors)
            name = self._unique(call)
            for shape in step.infer(self._shapes(sources)):
                self._tensors.append(Tensor(name, shape, self._dtype(step, sources)))
            made = tuple(range(first, len(self._tensors)))
            self._ops.append(Op(name, step, sources, made))
            sources = made
        return sources

    def _dtype(self, step: OpType, sources: tuple[int, ...]) -> DType:
        return step.output_dtype(self._tensors[sources[0]].dtype)

    def _write(
        self, call: Call, step: OpType, sources: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        made = step.infer(self._shapes(sources))
        if len(made) != len(outputs):
            raise SpecError("outputs", f"must be {len(made)}. Received: {len(outputs)}")
        for index, shape in zip(outputs, made, strict=True):
            if index in self._index:
                raise SpecError("outputs", f"tensor {index} is written twice")
            self._add_tensor(index, shape)
        written = tuple(self._index[index] for index in outputs)
        self._ops.append(Op(self._unique(call, outputs[0]), step, sources, written))

    def _shapes(self, tensors: tuple[int, ...]) -> tuple[Shape, ...]:
        return tuple(self._tensors[index].shape for index in tensors)

    def _unique(self, call: Call, output: int | None = None) -> str:
        """A name no other operation has; the second use of one gets `#2`."""
        index = call.operator.outputs[0] if output is None else output
        name = unique = self._file.tensors[index].name or "unnamed"
        while unique in self._taken:
            self._names[name] += 1
            unique = f"{name}#{self._names[name] + 1}"
        self._taken.add(unique)
        return unique


def _used_operators(file: TFLiteFile) -> frozenset[int]:
    """Operators that an output of the model depends on, walking backwards through the execution order."""
    needed = set(file.outputs)
    used = set()
    for position in range(len(file.operators) - 1, -1, -1):
        operator = file.operators[position]
        if needed.intersection(operator.outputs):
            used.add(position)
            needed.update(operator.inputs)
    return frozenset(used)

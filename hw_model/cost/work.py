"""What one operation asks of a target: cycles under every on-chip ceiling, bytes, and events that cost energy."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hw_model.cost.placement import Layer, Placement, counts, place
from hw_model.graph import ops
from hw_model.graph.types import Shape
from hw_model.targets.target import Array, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Cycles an operation would take if nothing but this limited it."""

    mac_array: int = 0
    activation_fetch: int = 0
    output_drain: int = 0
    parameter_broadcast: int = 0
    on_chip_exchange: int = 0


CEILINGS: tuple[str, ...] = tuple(entry.name for entry in dataclasses.fields(Ceilings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """How often each thing that costs energy happens, on the chip, for parameters that are cached.

    Components are those of the Coral chip's EnergyTable registers; `idle` is time, so it is not here.
    """

    ring_bus: int = 0
    nlu_active: int = 0
    wide_byte_access: int = 0
    narrow_mem_word_access: int = 0
    int_multiply: int = 0
    int_adder: int = 0
    float32_adder: int = 0
    input_bus_transfer: int = 0
    wide_data_transfer: int = 0


Mapped = Literal["spatial", "pointwise", "depthwise", "argmax", "moved"]
COMPONENTS: tuple[str, ...] = tuple(entry.name for entry in dataclasses.fields(Events))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything the evaluators need to know about one operation on one target."""

    ceilings: Ceilings = Ceilings()
    events: Events = Events()
    macs: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    #: Bytes its parameters occupy on the chip, padded to whole lanes and dot products, biases included.
    parameter_bytes: int = 0
    #: How often parameters are read: once for each part of the activations that fits the memory.
    passes: int = 1
    #: It is another view of bytes already there: no time and no instruction.
    free: bool = False
    on_host: bool = False
    placement: Placement | None = None


def work_of(target: Target, kind: ops.OpType, inputs: tuple[Shape, ...]) -> Work:
    """Counts one int8 operation."""
    outputs = kind.infer(inputs)
    sizes = (_total(inputs), _total(outputs))
    if type(kind).__name__ in target.host.ops:
        events = Events(input_bus_transfer=sum(sizes))
        return Work(
            macs=kind.macs(inputs),
            input_bytes=sizes[0],
            output_bytes=sizes[1],
            events=events,
            on_host=True,
        )
    layer = layer_of(kind, inputs, outputs[0])
    if layer is not None:
        return _on_array(target, kind, layer, inputs, sizes)
    count = _MOVES.get(type(kind), _pointwise)
    return count(target, kind, inputs, sizes)


def mapped_as(kind: ops.OpType) -> Mapped:
    """Which of a target's scales an operation takes; moving bytes leaves a compiler nothing to lose."""
    if isinstance(kind, ops.DepthwiseConv2D):
        return "depthwise"
    if isinstance(kind, ops.Dense | ops.TiedLogits | ops.MatMul):
        return "pointwise"
    if isinstance(kind, ops.Conv2D | ops.GroupConv2D):
        if kind.groups > 1 and kind.groups == kind.filters:
            return "depthwise"
        return "pointwise" if kind.groups == 1 and kind.kernel == (1, 1) else "spatial"
    if isinstance(kind, ops.ArgMax):
        return "argmax"
    return "spatial" if isinstance(kind, ops.TransposeConv2D) else "moved"


def efficiency_of(target: Target, kind: ops.OpType) -> float:
    """Share of the on-chip ceilings that a compiled operation of this kind reaches."""
    scales = target.overhead
    ratio = {
        "spatial": 1.0,
        "pointwise": scales.pointwise_ratio,
        "depthwise": scales.depthwise_ratio,
        "argmax": scales.argmax_ratio / scales.mapping_efficiency,
        "moved": 1.0 / scales.mapping_efficiency,
    }
    return scales.mapping_efficiency * ratio[mapped_as(kind)]


def effective_clock_hz(target: Target, kind: ops.OpType) -> float:
    """Cycles of `Ceilings` done per second: the clock, less what this kind of operation loses when compiled."""
    return target.array.clock_mhz * 1e6 * efficiency_of(target, kind)


def _total(shapes: tuple[Shape, ...]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def layer_of(kind: ops.OpType, inputs: tuple[Shape, ...], output: Shape) -> Layer | None:
    """The operation as work for lanes and dot products, when it is one."""
    if isinstance(kind, ops.Conv2D | ops.GroupConv2D):
        groups = kind.groups
        return Layer(
            rows=output[0] * output[1],
            columns=output[2],
            kernel=kind.kernel,
            step=kind.stride[1],
            groups=groups,
            fan_in=inputs[0][3] // groups,
            fan_out=output[3] // groups,
        )
    if isinstance(kind, ops.DepthwiseConv2D):
        return Layer(
            rows=output[0] * output[1],
            columns=output[2],
            kernel=kind.kernel,
            step=kind.stride[1],
            groups=output[3],
            fan_in=1,
            fan_out=1,
        )
    if isinstance(kind, ops.TransposeConv2D):
        # Each output position sees every stride-th tap: the phases are small convolutions of the input.
        (height, width), (down, across) = kind.kernel, kind.stride
        return Layer(
            rows=output[0] * max(output[1], inputs[0][1] * down),
            columns=max(output[2], inputs[0][2] * across),
            kernel=(-(-height // down), -(-width // across)),
            fan_in=inputs[0][3],
            fan_out=output[3],
        )
    if isinstance(kind, ops.Dense | ops.TiedLogits):
        rows = math.prod(output[:-1])
        return Layer(rows=rows, fan_in=inputs[0][-1], fan_out=output[-1])
    if isinstance(kind, ops.MatMul):
        batch = math.prod(output[:-2])
        return Layer(rows=output[-2], fan_in=inputs[0][-1], fan_out=output[-1], repeats=batch)
    return None


def _on_array(
    target: Target,
    kind: ops.OpType,
    layer: Layer,
    inputs: tuple[Shape, ...],
    sizes: tuple[int, int],
) -> Work:
    array = target.array
    spot = place(array, layer, sizes[0])
    stored = layer.repeats * spot.parameter_bytes
    # The second factor of a matrix product travels as parameters do, but it is an activation.
    kept = 0 if isinstance(kind, ops.MatMul) else stored
    # Half of the memory holds the part that is computed, the other half the parts on their way in and out.
    passes = max(1, -(-2 * sum(sizes) // target.memory.activation_bytes))
    # Channels split over PEs mean that each PE needs activations that lie on others.
    exchanged = sizes[0] if spot.channel_splits > 1 else 0
    macs = kind.macs(inputs)
    fetched = layer.repeats * spot.fetched_bytes
    return Work(
        ceilings=ceilings_of(array, layer, spot, layer.rows, stored * passes, exchanged),
        events=Events(
            int_multiply=macs,
            int_adder=macs,
            nlu_active=sizes[1],
            narrow_mem_word_access=words_of(target, fetched) + words_of(target, sizes[1]),
            wide_byte_access=stored * passes,
            ring_bus=stored * passes + exchanged,
        ),
        macs=macs,
        input_bytes=sizes[0],
        output_bytes=sizes[1],
        parameter_bytes=kept,
        passes=passes,
        placement=spot,
    )


def ceilings_of(
    array: Array, layer: Layer, spot: Placement, rows: int, parameter_bytes: int, moved_bytes: int
) -> Ceilings:
    """Cycles of `rows` output rows of a layer; the first position of a row fills the row buffer as well."""
    rounds, starts = counts(layer, rows, spot.lane_sets, spot.split)
    return Ceilings(
        mac_array=rounds * spot.mac_cycles,
        activation_fetch=rounds * spot.fetch_cycles + starts * spot.refill_cycles,
        output_drain=rounds * array.drain_cycles,
        parameter_broadcast=-(-parameter_bytes // array.parameter_broadcast_bytes_per_cycle),
        on_chip_exchange=-(-moved_bytes // array.exchange_bytes_per_cycle),
    )


def words_of(target: Target, count: int) -> int:
    """Words of activation memory that hold `count` bytes."""
    return -(-count // target.energy.narrow_word_bytes)


def _streamed(
    target: Target, reads: int, writes: int, moved: int = 0, *, math_ops: int = 0
) -> Work:
    """Work without multipliers: activations read once through the lanes and written back."""
    array = target.array
    drained = array.cores * array.lanes_per_core / array.drain_cycles
    return Work(
        ceilings=Ceilings(
            activation_fetch=math.ceil(
                reads / (array.cores * array.activation_fetch_bytes_per_cycle)
            ),
            output_drain=math.ceil(writes / drained),
            on_chip_exchange=math.ceil(moved / array.exchange_bytes_per_cycle),
        ),
        events=Events(
            int_adder=math_ops,
            nlu_active=writes,
            narrow_mem_word_access=words_of(target, reads) + words_of(target, writes),
            ring_bus=moved,
        ),
    )


def _finished(work: Work, sizes: tuple[int, int]) -> Work:
    return dataclasses.replace(work, input_bytes=sizes[0], output_bytes=sizes[1])


def _pointwise(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Sums, products, activations, scales: every input once. Normalisations look at theirs three times.

    So does x * sigmoid(x), which converters write as two operations: one reads x, the other x and the result.
    """
    twice = isinstance(kind, ops.Activation) and kind.function == "silu"
    looks = 3 if twice or isinstance(kind, ops.Softmax | ops.LayerNorm) else 1
    return _finished(
        _streamed(target, looks * sizes[0], sizes[1], math_ops=looks * sizes[1]), sizes
    )


def _view(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Cutting channels and renaming shapes: the reader addresses the bytes where they are."""
    return Work(input_bytes=sizes[0], output_bytes=sizes[1], free=True)


def _moving(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Concat, pad, transpose and strided slices: every output byte changes its place."""
    return _finished(_streamed(target, sizes[1], sizes[1], moved=sizes[1]), sizes)


def _pooling(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """A window of activations for each output; columns of the window already read are kept."""
    assert isinstance(kind, ops.Pool)
    reads = sizes[1] * kind.kernel[0] * min(kind.kernel[1], kind.stride[1])
    taps = sizes[1] * kind.kernel[0] * kind.kernel[1]
    return _finished(_streamed(target, reads, sizes[1], math_ops=taps), sizes)


def _reducing(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Every input is read and added once."""
    return _finished(_streamed(target, sizes[0], sizes[1], math_ops=sizes[0]), sizes)


def _resizing(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Four neighbours for each output of a bilinear resize, one for a nearest one."""
    assert isinstance(kind, ops.Resize)
    reads = sizes[1] * (4 if kind.mode == "bilinear" else 1)
    return _finished(_streamed(target, reads, sizes[1], moved=sizes[1], math_ops=reads), sizes)


def _gathering(
    target: Target, kind: ops.OpType, inputs: tuple[Shape, ...], sizes: tuple[int, int]
) -> Work:
    """Rows of a table that stays off the chip."""
    events = Events(wide_data_transfer=sizes[1], narrow_mem_word_access=words_of(target, sizes[1]))
    cycles = math.ceil(sizes[1] / target.array.parameter_broadcast_bytes_per_cycle)
    return Work(
        ceilings=Ceilings(parameter_broadcast=cycles),
        events=events,
        input_bytes=sizes[0],
        output_bytes=sizes[1],
    )


_Count = Callable[[Target, ops.OpType, tuple[Shape, ...], tuple[int, int]], Work]
_MOVES: dict[type[ops.OpType], _Count] = {
    ops.Split: _view, ops.Reshape: _view, ops.Dropout: _view,
    ops.Concat: _moving, ops.Pad: _moving, ops.Transpose: _moving, ops.Slice: _moving,
    ops.Pool: _pooling, ops.Resize: _resizing, ops.Embedding: _gathering,
    ops.Reduce: _reducing,
}  # fmt: skip

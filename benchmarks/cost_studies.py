"""Which published latencies are compared with the cost model, what is fitted to which, and what then comes out."""

from dataclasses import dataclass, field, replace
from functools import cache

from hw_model import estimate, load_target
from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.calibrate.fit import Fit, declared_scales, fit_profiles, told
from hw_model.calibrate.profile import Profile, scales_of, with_scales
from hw_model.calibrate.published import Measurement, data_set
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import evaluator_for
from hw_model.graph import Graph
from model_zoo import create_spec
from model_zoo.registry import entries

FITTED = ("pixel6", "pixel4", "coral_usb", "coral_devboard")
MIB = 1 << 20
EFFICIENCY, POINTWISE = "overhead.mapping_efficiency", "overhead.pointwise_ratio"
RATE, CALL = "link.parameter_mb_per_s", "overhead.inference_us"
ARGMAX = "overhead.argmax_ratio"
#: Segmentation networks at 512 px; the first table is fitted, with one constant.
SEGMENTATION = ("pixel6_argmax", "pixel6_argmax_excluded", "pixel6_fused_argmax")
#: Detection networks at 320 px; nothing is fitted to them.
DETECTION = ("pixel6_detection", "pixel4_detection")
#: An idle call on the Jetson host of the micro-benchmarks: their smallest published row.
JETSON_CALL_US = 292.0


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published table: what of its target is fitted to it, and what is held at another value.

    Or several tables together (`joins`), each row as the first study of its own table has it.
    """

    table: str
    label: str
    fits: tuple[str, ...] = ()
    holds: dict[str, float] = field(default_factory=dict)
    also: str = ""
    on_chip: bool = False
    simulated: bool = False
    joins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a study predicts of its rows, from all of them and, where something is fitted, without each in turn."""

    rows: tuple[Measurement, ...]
    predicted_ms: tuple[float, ...]
    left_out_ms: tuple[float | None, ...]
    #: The constants with which each row is predicted when it is left out.
    scales: tuple[dict[str, float], ...]
    fitted: int

    @property
    def measured_ms(self) -> list[float]:
        """What was published."""
        return [row.latency_ms for row in self.rows]

    @property
    def unseen_ms(self) -> list[float]:
        """Each row as predicted by what never saw it."""
        pairs = zip(self.left_out_ms, self.predicted_ms, strict=True)
        return [now if without is None else without for without, now in pairs]


STUDIES = (
    *(Study(table=name, label=f"{name}, fitted", fits=("declared",), simulated=True) for name in FITTED),
    Study(table="pixel6_argmax", label="pixel6, segmentation at 512 px, argmax: one scale", fits=(ARGMAX,),
          simulated=True),
    Study(table="pixel6_argmax", label="pixel6, the same with the row left out of its fit", fits=(ARGMAX,),
          also="pixel6_argmax_excluded", simulated=True),
    Study(table="pixel6_argmax_excluded", label="pixel6, that row; nothing fitted", simulated=True),
    Study(table="pixel6_fused_argmax", label="pixel6, segmentation at 512 px, fused argmax; nothing fitted",
          simulated=True),
    Study(table="pixel6_masks", label="pixel6, all that classify or segment", joins=("pixel6", *SEGMENTATION),
          simulated=True),
    Study(table="pixel6_detection", label="pixel6, detection at 320 px; nothing fitted", simulated=True),
    Study(table="pixel6_all", label="pixel6, all of these", joins=("pixel6", *SEGMENTATION, "pixel6_detection"),
          simulated=True),
    Study(table="pixel4_detection", label="pixel4, MobileDet at 320 px; nothing fitted", simulated=True),
    Study(table="coral_usb", label="coral_usb, fitted, networks that fit the chip", fits=("declared",), on_chip=True),
    Study(table="coral_usb", label="coral_usb with the two rows left out of its fit", fits=("declared",),
          also="coral_usb_excluded"),
    Study(table="coral_devboard", label="coral_devboard with the two rows left out of its fit", fits=("declared",),
          also="coral_devboard_excluded"),
    Study(table="coral_devboard", label="coral_devboard: coral_usb's constants, two of the link fitted",
          fits=(RATE, CALL)),
    Study(table="coral_zoo", label="coral_zoo: same device, another table; nothing fitted"),
    Study(table="coral_jetson", label="coral_jetson: Jetson Nano as host; nothing fitted"),
    Study(table="pixel6_older", label="pixel6_older: an earlier revision's row; nothing fitted"),
    Study(table="jetson_conv", label="7x7 convolution chains, Jetson: one scale", fits=(EFFICIENCY,),
          holds={CALL: JETSON_CALL_US}),
    Study(table="jetson_dense", label="dense chains, Jetson: one scale", fits=(RATE,),
          holds={CALL: JETSON_CALL_US, EFFICIENCY: 1.0, POINTWISE: 1.0}),
    Study(table="jetson_input", label="image in, pixel out, Jetson: one scale", fits=("link.input_mb_per_s",),
          holds={CALL: JETSON_CALL_US}),
    Study(table="jetson_output", label="pixel in, image out, Jetson: one scale", fits=("link.output_mb_per_s",),
          holds={CALL: JETSON_CALL_US}),
    # 2.75 ms/MiB is the slope of the same author's sweep of dense layers.
    Study(table="conv_sweep", label="68 chains of five 3x3 convolutions: one scale", fits=(EFFICIENCY,),
          holds={CALL: JETSON_CALL_US, RATE: MIB / 2.75e3}),
)  # fmt: skip


@cache
def graph_of(row: Measurement) -> Graph:
    """The network of a row."""
    if row.model not in entries():
        return reference_net(row.model)
    return create_spec(row.model, output=row.output or None).graph()


def rows_of(study: Study) -> tuple[Measurement, ...]:
    """The rows of a study, in table order."""
    rows = [*data_set(study.table), *data_set(study.also)]
    return tuple(row for row in rows if not (study.on_chip and _streams(row)))


def _streams(row: Measurement) -> bool:
    return evaluator_for(load_target(row.target)).report(graph_of(row)).streamed_bytes > 0


def profile_of(row: Measurement) -> Profile:
    """Counted work of a row, with the parameters on the chip that its compiler logged, where that is published."""
    target = load_target(row.target)
    if row.cached_mib is not None:
        room = int(row.cached_mib * MIB)
        target = replace(target, memory=replace(target.memory, parameter_bytes=room))
    return Profile(target, graph_of(row))


def study_of(table: str) -> int:
    """The first study of a table."""
    return next(index for index, study in enumerate(STUDIES) if study.table == table)


@cache
def _fitted(index: int) -> tuple[tuple[Profile, ...], dict[str, float], Fit | None]:
    """Counted work of a study's rows, the constants it starts with, and its fit where it has one."""
    study = STUDIES[index]
    rows = rows_of(study)
    target = load_target(rows[0].target)
    profiles = tuple(profile_of(row) for row in rows)
    start = scales_of(target) | study.holds
    if not study.fits:
        return profiles, start, None
    # Of what a file declares, a table may tell a part: networks that classify have no ArgMax.
    declared = study.fits == ("declared",)
    names = told(start, declared_scales(target), profiles) if declared else study.fits
    return profiles, start, fit_profiles(start, names, profiles, [row.latency_ms for row in rows])


@cache
def outcome_of(index: int) -> Outcome:
    """What a study predicts."""
    study = STUDIES[index]
    if study.joins:
        parts = [outcome_of(study_of(table)) for table in study.joins]
        return Outcome(
            rows=tuple(row for part in parts for row in part.rows),
            predicted_ms=tuple(ms for part in parts for ms in part.predicted_ms),
            left_out_ms=tuple(ms for part in parts for ms in part.left_out_ms),
            scales=tuple(scales for part in parts for scales in part.scales),
            fitted=sum(part.fitted for part in parts),
        )
    profiles, start, found = _fitted(index)
    none = (None,) * len(profiles)
    return Outcome(
        rows=rows_of(study),
        predicted_ms=tuple(profile.latency_ms(start | (found.scales if found else {})) for profile in profiles),
        left_out_ms=found.left_out_ms if found else none,
        scales=found.left_out_scales if found else ({},) * len(profiles),
        fitted=len(found.scales) if found else 0,
    )  # fmt: skip


def fit_of(table: str) -> Fit:
    """The fit to a table."""
    found = _fitted(study_of(table))[2]
    assert found is not None
    return found


@cache
def simulated_ms(index: int) -> tuple[float, ...]:
    """The simulator on a study's rows, each network with the constants of a fit that never saw it.

    The constants are those of the analytical evaluator: nothing is fitted to the simulator.
    """
    outcome = outcome_of(index)
    return tuple(
        evaluator_for(with_scales(load_target(row.target), scales), "simulator")
        .report(graph_of(row))
        .latency_ms
        for row, scales in zip(outcome.rows, outcome.scales, strict=True)
    )


def simulator_of(table: str) -> Correlation:
    """How the simulator agrees with a table."""
    index = study_of(table)
    return correlate(simulated_ms(index), outcome_of(index).measured_ms)


def usual_baseline_ms() -> float:
    """The row left out of the segmentation fit, with the head that DeepLabV3+ had first.

    Its last stages then keep stride 16, and scores come at stride 4; which head was measured is not published.
    """
    spec = create_spec("deeplabv3plus_mobilenet_v2", output="argmax")
    *first, fine, last, end = spec.stacked.stacks
    assert (fine.stride, last.stride, end.stride) == (1, 2, 1)
    stacks = (*first, fine, replace(last, stride=1), end)
    usual = replace(
        spec,
        backbone=replace(spec.stacked, stacks=stacks),
        head=replace(spec.head, level=4, low_level=2),  # type: ignore[type-var]
    )
    return estimate(usual, target="pixel6").latency_ms


@dataclass(frozen=True, kw_only=True)
class Starts:
    """How much of a set of networks is starting operations: counts and shares, least and most."""

    operations: tuple[int, int]
    share: tuple[float, float]
    #: Operations on maps of 5x5 and less, and the share of their own time that starts them.
    on_small_maps: tuple[int, int]
    share_on_small_maps: float


def starts_of(table: str) -> Starts:
    """What it takes to start the operations of a table's networks."""
    operations, shares, small, small_us = [], [], [], 0.0
    op_us = load_target(data_set(table)[0].target).overhead.op_us
    for row in data_set(table):
        report = estimate(graph_of(row), target=row.target)
        timed = [each for each in report.rows if each.binding not in ("none", "host")]
        tiny = [
            each
            for each in timed
            if len(each.output_shapes[0]) == 4 and max(each.output_shapes[0][1:3]) <= 5
        ]
        operations.append(len(timed))
        shares.append(op_us * len(timed) / (report.latency_ms * 1e3))
        small.append(len(tiny))
        small_us += sum(each.time_us for each in tiny)
    return Starts(
        operations=(min(operations), max(operations)),
        share=(min(shares), max(shares)),
        on_small_maps=(min(small), max(small)),
        share_on_small_maps=op_us * sum(small) / small_us,
    )


def native_groups_error(table: str) -> float:
    """Mean error of a table if group convolutions ran as they are, with the constants fitted to split ones."""
    rows = data_set(table)
    native = replace(load_target(rows[0].target), group_form="native")
    predicted = [estimate(graph_of(row), target=native).latency_ms for row in rows]
    return correlate(predicted, [row.latency_ms for row in rows]).mape


def fused_error(size: int) -> float:
    """Mean error of the rows with a fused argmax if it was `size` pixels wide."""
    rows = [replace(row, output=f"fused_argmax_{size}") for row in data_set("pixel6_fused_argmax")]
    predicted = [estimate(graph_of(row), target=row.target).latency_ms for row in rows]
    return correlate(predicted, [row.latency_ms for row in rows]).mape

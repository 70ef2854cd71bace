"""The fit finds constants it was given, agrees with the evaluator, and refuses what it cannot know."""

from dataclasses import replace

import pytest

from hw_model import load_target
from hw_model.calibrate.fit import declared_scales, fit
from hw_model.calibrate.profile import SCALES, Profile, scales_of, with_scales
from hw_model.cost import Analytical
from hw_model.errors import UsageError
from hw_model.graph import Graph, GraphBuilder, ops
from hw_model.targets import Target
from model_zoo.registry import entries, spec_of

OTHER = {
    "overhead.mapping_efficiency": 0.3, "overhead.pointwise_ratio": 0.7, "overhead.depthwise_ratio": 1.2,
    "overhead.argmax_ratio": 0.2, "overhead.op_us": 2.5, "overhead.inference_us": 70.0,
    "link.parameter_mb_per_s": 300.0, "link.input_mb_per_s": 200.0, "link.output_mb_per_s": 50.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    """Six networks of different size and kind."""
    return [spec_of(name).graph() for name in list(entries())[::2]]


def host_net() -> Graph:
    """A network with an operation that Coral leaves to the host in its middle."""
    b = GraphBuilder()
    x = b.conv(b.input((1, 64, 64, 3)), 32, 3, name="conv")
    x = b.emit(ops.LayerNorm(), (x,), name="norm")[0]
    return b.finish(b.conv(x, 512, 1, name="end"), name="host")


def argmax_net(filters: int = 8) -> Graph:
    """A network that ends in the class of each pixel."""
    b = GraphBuilder()
    x = b.conv(b.input((1, 256, 256, 3)), filters, 3, name="conv")
    return b.finish(b.emit(ops.ArgMax(), (x,), name="argmax")[0], name="argmax")


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_a_profile_says_what_the_evaluator_says(name: str, graphs: list[Graph]) -> None:
    target = load_target(name)
    for graph in (*graphs, host_net(), argmax_net()):
        profile = Profile(target, graph)
        for scales in (scales_of(target), OTHER):
            expected = Analytical(with_scales(target, scales)).report(graph).latency_ms
            assert profile.latency_ms(scales) == pytest.approx(expected)


def test_every_scale_is_a_constant_of_a_target() -> None:
    target = load_target("pixel6")
    assert tuple(scales_of(target)) == SCALES == tuple(OTHER)
    assert scales_of(with_scales(target, OTHER)) == OTHER


def test_constants_are_found_again(graphs: list[Graph]) -> None:
    target = load_target("pixel6")
    given = {"overhead.mapping_efficiency": 0.4, "overhead.op_us": 2.0}
    truth = with_scales(target, given)
    measured = [Analytical(truth).report(graph).latency_ms for graph in graphs]
    found = fit(target, graphs, measured)
    assert found.scales == pytest.approx(given, rel=1e-3)
    assert found.left_out.mape < 1e-3


def test_a_constant_is_fitted_where_two_rows_tell_it(graphs: list[Graph]) -> None:
    """One row could not be left out: its error would be that of the fit."""
    target = load_target("pixel6")
    truth = with_scales(target, {"overhead.argmax_ratio": 0.2})
    for count in (1, 2):
        run = [*graphs, *(argmax_net(8 * number) for number in range(1, count + 1))]
        found = fit(target, run, [Analytical(truth).report(graph).latency_ms for graph in run])
        assert ("overhead.argmax_ratio" in found.scales) == (count == 2)
    assert found.scales["overhead.argmax_ratio"] == pytest.approx(0.2, rel=1e-3)
    with pytest.raises(
        UsageError, match="no two rows depend on overhead.argmax_ratio; measure other"
    ):
        fit(marked(target, "overhead.argmax_ratio"), graphs, [1.0] * len(graphs))


def test_a_row_left_out_does_not_help_itself(graphs: list[Graph]) -> None:
    """One absurd measurement is off by as much when left out, and by less when it takes part."""
    target = load_target("pixel6")
    measured = [Analytical(target).report(graph).latency_ms for graph in graphs]
    measured[0] *= 3
    found = fit(target, graphs, measured)
    truth = measured[0] / 3
    assert found.left_out_ms[0] == pytest.approx(truth, rel=0.01)
    assert found.predicted_ms[0] > 1.05 * truth


def test_progress_sees_each_row_once(graphs: list[Graph]) -> None:
    target, seen = load_target("pixel6"), []
    measured = [Analytical(target).report(graph).latency_ms for graph in graphs]
    fit(target, graphs, measured, progress=lambda rows: (seen.append(row) or row for row in rows))  # type: ignore[func-returns-value]
    assert seen == list(range(len(graphs)))


def test_only_declared_constants_are_fitted() -> None:
    scales = ("overhead.mapping_efficiency", "overhead.argmax_ratio", "overhead.op_us")
    assert declared_scales(load_target("pixel6")) == scales
    assert declared_scales(load_target("coral_devboard")) == ("link.parameter_mb_per_s",)


def marked(target: Target, *paths: str) -> Target:
    """The target with other constants marked as fitted."""
    constants = tuple(replace(each, fitted=each.path in paths) for each in target.constants)
    return replace(target, constants=constants)


def test_too_few_rows_or_wrong_marks_are_refused(graphs: list[Graph]) -> None:
    target = load_target("pixel6")
    with pytest.raises(UsageError, match="takes at least 4 rows. Received: 3"):
        fit(target, graphs[:3], [1.0, 2.0, 3.0])
    with pytest.raises(
        UsageError, match="mark 1 to 5 constants with `fitted = true`. Received: none"
    ):
        fit(marked(target), graphs, [1.0] * len(graphs))
    with pytest.raises(
        UsageError, match=r"mark 1 to 5 constants .* Received: link.parameter_mb_per_s, "
    ):
        fit(marked(target, *SCALES[:3], *SCALES[6:]), graphs, [1.0] * len(graphs))
    with pytest.raises(UsageError, match=r"latencies cannot tell energy.idle_w"):
        fit(marked(target, "energy.idle_w"), graphs, [1.0] * len(graphs))


def test_a_share_that_the_rows_do_not_tell_stays_within_reach_and_is_named() -> None:
    target = load_target("coral_usb")
    names = ("tiny", "xs", "s", "m")
    graphs = [spec_of(f"mobilenet_edgetpu_v2_{name}").graph() for name in names]
    graphs.append(spec_of("efficientnet_edgetpu_s").graph())
    # Latencies of no device: the network that streams parameters is said to take no time for them.
    found = fit(target, graphs, (1.2, 1.4, 1.9, 2.6, 4.1))
    assert found.untold == ("overhead.pointwise_ratio",)
    start = target.overhead.pointwise_ratio
    assert found.scales["overhead.pointwise_ratio"] == pytest.approx(20 * start)
    # The same networks with what the target itself says of them leave nothing untold.
    own = [Analytical(target).report(graph).latency_ms for graph in graphs]
    assert not fit(target, graphs, own).untold

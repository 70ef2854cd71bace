"""Allocation of whole networks: views share bytes, nothing overlaps, what does not fit is named and counted."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hw_model import Target, list_targets, load_target
from hw_model.calibrate.reference_nets import mobilenet_v1, mobilenet_v2
from hw_model.graph import Graph, GraphBuilder, ops
from hw_model.io.memory_map import format_memory, memory_svg, show_memory
from hw_model.mapping.allocate import Allocation, allocate
from model_zoo.registry import entries, spec_of

NAMES = tuple(entries())


def sized(activation_bytes: int, name: str = "coral_usb") -> Target:
    target = load_target(name)
    return replace(target, memory=replace(target.memory, activation_bytes=activation_bytes))


def legal(found: Allocation) -> None:
    kept = [buffer for buffer in found.buffers if not buffer.spilled]
    for a, b in itertools.combinations(kept, 2):
        if a.start <= b.end and b.start <= a.end:
            assert a.offset_bytes is not None
            assert b.offset_bytes is not None
            above = a.offset_bytes + a.size_bytes <= b.offset_bytes
            assert above or b.offset_bytes + b.size_bytes <= a.offset_bytes
    tops = [(buffer.offset_bytes or 0) + buffer.size_bytes for buffer in kept]
    assert found.peak_bytes == max(tops, default=0)
    assert found.bound_bytes <= found.peak_bytes <= found.capacity_bytes
    assert found.bound_bytes <= found.needed_bytes
    assert found.spilled or found.bound_bytes == found.needed_bytes


@pytest.mark.parametrize("target", ["coral_usb", "pixel6"])
@pytest.mark.parametrize("name", NAMES)
def test_every_variant(name: str, target: str) -> None:
    found = allocate(spec_of(name).graph(), load_target(target))
    legal(found)
    assert found.proven
    assert bool(found.spilled) == (found.needed_bytes > found.capacity_bytes)


@pytest.mark.parametrize("target", list_targets())
def test_every_target(target: str) -> None:
    legal(allocate(spec_of("mobilenet_edgetpu_v2_s").graph(), load_target(target)))


def chain(*filters: int) -> Graph:
    """Convolutions of an 8 x 8 map, one after the other."""
    b = GraphBuilder()
    x = b.input((1, 8, 8, 4), dtype="int8")
    for index, count in enumerate(filters):
        x = b.conv(x, count, 1, bias=True, name=f"conv_{index}")
    return b.finish(x, name="chain")


def test_a_chain_needs_two_neighbours_at_a_time() -> None:
    found = allocate(chain(8, 16, 4), load_target("coral_usb"))
    assert [buffer.name for buffer in found.buffers] == ["image", "conv_0", "conv_1", "conv_2"]
    assert [(b.start, b.end) for b in found.buffers] == [(0, 0), (0, 1), (1, 2), (2, 2)]
    assert found.peak_bytes == found.needed_bytes == 64 * (8 + 16)


@pytest.mark.parametrize(
    ("graph", "per_tile"),
    [
        (mobilenet_v1(0.5, 160), 20_512),
        (mobilenet_v1(0.75, 192), 43_824),
        (mobilenet_v2(), 99_552),
        (mobilenet_v2(256, 256), 129_120),
    ],
    ids=["v1 0.5 160", "v1 0.75 192", "v2 224", "v2 256"],
)
def test_tiles_take_what_public_executables_say(graph: Graph, per_tile: int) -> None:
    """Source: `published/compiler_facts.csv`, narrow_bytes_per_tile, from which halos and words were learned."""
    target = load_target("coral_usb")
    assert allocate(graph, target).peak_bytes == per_tile * target.array.cores


def test_tiles_hold_halos_and_whole_words() -> None:
    b = GraphBuilder()
    x = b.input((1, 16, 16, 3), dtype="int8")
    x = b.emit(ops.Conv2D(filters=8, kernel=(3, 5), dilation=(2, 1), bias=True), (x,), name="conv")[
        0
    ]
    found = allocate(b.finish(x, name="halo"), load_target("coral_usb"))
    image, conv = found.buffers
    assert image.size_bytes == 16 * (4 + 4) * (4 + 4) * 4
    assert conv.size_bytes == 16 * 4 * 4 * 8
    assert image.spill_bytes == 0


def test_a_network_without_operations_needs_nothing() -> None:
    b = GraphBuilder()
    found = allocate(b.finish(b.input((1, 8), dtype="int8"), name="wire"), load_target("pixel6"))
    assert (found.buffers, found.peak_bytes, found.spilled_bytes, found.proven) == ((), 0, 0, True)
    assert format_memory(found)
    assert memory_svg(found)


def test_one_buffer_read_twice_by_the_host_only_is_not_on_the_chip() -> None:
    b = GraphBuilder()
    x = b.input((1, 16), dtype="int8")
    (y,) = b.emit(ops.ArgMax(), (x,), name="argmax")
    assert allocate(b.finish(y, name="host"), load_target("coral_usb")).buffers == ()


def test_views_share_the_bytes_of_what_they_show() -> None:
    b = GraphBuilder()
    x = b.conv(b.input((1, 8, 8, 4), dtype="int8"), 16, 1, bias=True, name="conv")
    left, right = b.emit(ops.Split(parts=2), (x,), name="split")
    y = b.conv(left, 8, 1, bias=True, name="left")
    z = b.conv(right, 8, 1, bias=True, name="right")
    end = b.reshape(b.add(y, z, name="add"), (1, 512), name="flat")
    found = allocate(b.finish(end, name="views"), load_target("coral_usb"))
    lives = {buffer.name: (buffer.start, buffer.end) for buffer in found.buffers}
    assert lives == {
        "image": (0, 0), "conv": (0, 3), "left": (2, 4), "right": (3, 4), "add": (4, 5),
    }  # fmt: skip
    # Written once and read in halves, each half by one convolution.
    assert {b.name: b.spill_bytes for b in found.buffers}["conv"] == 2 * 1024


def test_a_buffer_larger_than_the_memory_passes_through() -> None:
    found = allocate(chain(8, 64, 4), sized(2048))
    legal(found)
    assert [buffer.name for buffer in found.spilled] == ["conv_1"]
    assert found.spilled_bytes == 2 * 64 * 64
    assert found.needed_bytes == 64 * (8 + 64)


def test_inputs_and_outputs_cross_the_link_anyway() -> None:
    found = allocate(chain(64, 4), sized(64))
    assert [(b.name, b.spill_bytes) for b in found.buffers] == [
        ("image", 0), ("conv_0", 2 * 64 * 64), ("conv_1", 0),
    ]  # fmt: skip
    assert (found.peak_bytes, found.spilled_bytes) == (0, 2 * 64 * 64)


def test_less_memory_spills_more() -> None:
    graph = spec_of("mobilenet_edgetpu_v2_s").graph()
    needed = allocate(graph, sized(1 << 30)).needed_bytes
    traffic = []
    for share in (0, 1, 2, 4, 8):
        found = allocate(graph, sized(needed * share // 4 + 1))
        legal(found)
        traffic.append(found.spilled_bytes)
    assert traffic[-1] == traffic[-2] == 0 < traffic[0]
    assert traffic[0] == max(traffic)


def test_shown_as_text_values_and_picture(tmp_path: Path) -> None:
    picture = tmp_path / "memory.svg"
    graph, target = chain(8, 64, 4), sized(2048)
    words, data = show_memory(graph, target, picture=str(picture))
    assert "spills   1 tensor, 8.2 kB over the link" in words
    assert json.loads(json.dumps(data))["buffers"][2]["offset_bytes"] is None
    root = ElementTree.fromstring(picture.read_text())
    assert len(root.findall("{*}rect")) == 3
    assert allocate(graph, target) == allocate(graph, target)

"""Random specs to learn costs from: points of the search space, and zoo variants with widths and blocks changed."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from hw_model.errors import SpecError
from model_zoo import create_spec
from model_zoo.registry import match
from model_zoo.spec import ModelSpec, Space, image_spec
from pipelines.search.spaces import space_entry

#: Raised whenever a number comes to stand for another spec: samples stored before then are refused.
VERSION = 1
SPACE = "mobilenet_edgetpu_v2"
#: Images and widths that a search on these devices meets.
SIDES = (96, 128, 160, 192, 224, 224, 256, 320)
WIDTHS = (0.5, 0.75, 1.0, 1.0, 1.25)
#: One spec in this many is a changed variant of the zoo; one in this many is held out.
VARIANT_SHARE = 3
HELD_OUT_SHARE = 8


def random_spec(seed: int, number: int) -> ModelSpec:
    """The spec of a number: the same one on every machine, whichever others are drawn."""
    rng = random.Random(f"{VERSION}:{seed}:{number}")
    draw = _variant if rng.randrange(VARIANT_SHARE) == 0 else _from_space
    while True:
        try:
            return draw(rng)
        except SpecError:
            continue


def random_specs(seed: int, count: int) -> Iterator[ModelSpec]:
    """The first `count` specs of a seed."""
    return (random_spec(seed, number) for number in range(count))


def is_held_out(spec_id: str) -> bool:
    """Whether a spec is kept from every training, whatever its seed."""
    return int(spec_id[:8], 16) % HELD_OUT_SHARE == 0


@cache
def _space(side: int, width: float) -> Space[ModelSpec]:
    make = space_entry(SPACE).make
    return make(image_size=side, channels=3, num_classes=1001, width=width)


def _from_space(rng: random.Random) -> ModelSpec:
    space = _space(rng.choice(SIDES), rng.choice(WIDTHS))
    return space.bind([rng.randrange(size) for size in space.cardinalities])


def _variant(rng: random.Random) -> ModelSpec:
    """A published network, wider or narrower, for another image, with some of its stacks changed."""
    side = rng.choice(SIDES)
    spec = image_spec(
        create_spec(
            rng.choice(match("*", task="classification")),
            input_shape=(side, side, 3),
            num_classes=rng.choice((10, 100, 1000, 1001)),
            width=rng.choice((0.35, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5)),
        )
    )
    stacks = list(spec.stacked.stacks)
    for _ in range(rng.randrange(5)):
        place = rng.randrange(len(stacks))
        stack = stacks[place]
        filters = max(8, round(stack.filters * rng.uniform(0.6, 1.6) / 8) * 8)
        if stack.kind == "project":
            stacks[place] = replace(stack, filters=filters)
            continue
        stacks[place] = replace(
            stack,
            kind=rng.choice(("dw", "fused")),
            group_size=None,
            mid_filters=None,
            filters=filters,
            kernel=rng.choice((3, 5, 7)),
            expansion=rng.choice((2, 3, 4, 6, 8)),
        )
    return replace(spec, backbone=replace(spec.stacked, stacks=tuple(stacks)))

"""The AutoAugment policy the published MobileNetEdgeTPU recipes train with ("v0"), on Pillow."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from pipelines.data.dataset import Images

# One line per sub-policy: two steps of (operation, probability, level 0..10).
# Source: Cubuk et al. 2019, AutoAugment, as released with EfficientNet under the name "v0"; the
# published MobileNetEdgeTPU configs name it with cutout_const 100 and translate_const 250.
POLICY_V0 = (
    (("equalize", 0.8, 1), ("shear_y", 0.8, 4)),
    (("color", 0.4, 9), ("equalize", 0.6, 3)),
    (("color", 0.4, 1), ("rotate", 0.6, 8)),
    (("solarize", 0.8, 3), ("equalize", 0.4, 7)),
    (("solarize", 0.4, 2), ("solarize", 0.6, 2)),
    (("color", 0.2, 0), ("equalize", 0.8, 8)),
    (("equalize", 0.4, 8), ("solarize_add", 0.8, 3)),
    (("shear_x", 0.2, 9), ("rotate", 0.6, 8)),
    (("color", 0.6, 1), ("equalize", 1.0, 2)),
    (("invert", 0.4, 9), ("rotate", 0.6, 0)),
    (("equalize", 1.0, 9), ("shear_y", 0.6, 3)),
    (("color", 0.4, 7), ("equalize", 0.6, 0)),
    (("posterize", 0.4, 6), ("autocontrast", 0.4, 7)),
    (("solarize", 0.6, 8), ("color", 0.6, 9)),
    (("solarize", 0.2, 4), ("rotate", 0.8, 9)),
    (("rotate", 1.0, 7), ("translate_y", 0.8, 9)),
    (("shear_x", 0.0, 0), ("solarize", 0.8, 4)),
    (("shear_y", 0.8, 0), ("color", 0.6, 4)),
    (("color", 1.0, 0), ("rotate", 0.6, 2)),
    (("equalize", 0.8, 4), ("equalize", 0.0, 8)),
    (("equalize", 1.0, 4), ("autocontrast", 0.6, 2)),
    (("shear_y", 0.4, 7), ("solarize_add", 0.6, 7)),
    (("posterize", 0.8, 2), ("solarize", 0.6, 10)),
    (("solarize", 0.6, 8), ("equalize", 0.6, 1)),
    (("color", 0.8, 6), ("rotate", 0.4, 5)),
)

# Mid-gray, which normalisation maps to zero, fills what a geometric step uncovers.
_FILL = 128
# translate_const of the published configs, in pixels at level 10.
_TRANSLATE_PIXELS = 250


def apply(images: Images, rng: np.random.Generator) -> Images:
    """One random sub-policy for each image, (N, H, W, C)."""
    out = np.empty_like(images)
    for index, image in enumerate(images):
        gray = image.shape[-1] == 1
        picture = Image.fromarray(image[..., 0] if gray else image)
        for name, probability, level in POLICY_V0[rng.integers(len(POLICY_V0))]:
            # Both numbers are always drawn, so that a step that is left out shifts no later draw.
            chosen, sign = rng.random() < probability, 1.0 if rng.random() < 0.5 else -1.0
            if chosen:
                picture = _STEPS[name](picture, level / 10, sign)
        out[index] = np.asarray(picture).reshape(image.shape)
    return out


def _affine(
    image: Image.Image, matrix: tuple[float, float, float, float, float, float]
) -> Image.Image:
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.NEAREST,
        fillcolor=_fill(image),
    )


def _fill(image: Image.Image) -> int | tuple[int, int, int]:
    return _FILL if image.mode == "L" else (_FILL, _FILL, _FILL)


def _shear_x(image: Image.Image, share: float, sign: float) -> Image.Image:
    return _affine(image, (1, sign * share * 0.3, 0, 0, 1, 0))


def _shear_y(image: Image.Image, share: float, sign: float) -> Image.Image:
    return _affine(image, (1, 0, 0, sign * share * 0.3, 1, 0))


def _translate_y(image: Image.Image, share: float, sign: float) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, sign * share * _TRANSLATE_PIXELS))


def _rotate(image: Image.Image, share: float, sign: float) -> Image.Image:
    return image.rotate(sign * share * 30, fillcolor=_fill(image))


def _color(image: Image.Image, share: float, _: float) -> Image.Image:
    return ImageEnhance.Color(image).enhance(share * 1.8 + 0.1)


def _solarize(image: Image.Image, share: float, _: float) -> Image.Image:
    return ImageOps.solarize(image, int(share * 256))


def _solarize_add(image: Image.Image, share: float, _: float) -> Image.Image:
    added = int(share * 110)
    return image.point(
        [min(value + added, 255) if value < 128 else value for value in range(256)]
        * len(image.getbands())
    )


def _posterize(image: Image.Image, share: float, _: float) -> Image.Image:
    # The published operation keeps level * 4 / 10 bits, at level 0 none.
    bits = int(share * 4)
    mask = 0xFF & ~((1 << (8 - bits)) - 1)
    return image.point([value & mask for value in range(256)] * len(image.getbands()))


_STEPS: dict[str, Callable[[Image.Image, float, float], Image.Image]] = {
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "color": _color,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "posterize": _posterize,
    "equalize": lambda image, _, __: ImageOps.equalize(image),
    "autocontrast": lambda image, _, __: ImageOps.autocontrast(image),
    "invert": lambda image, _, __: ImageOps.invert(image),
}

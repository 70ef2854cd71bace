"""State dicts in timm's layout: names, shapes and arithmetic are those of timm, written down anew."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError
from model_zoo import registry
from model_zoo.importers.checkpoints import identify, import_checkpoint
from model_zoo.spec.image import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem

numpy_file = pytest.importorskip("safetensors.numpy")

Floats = np.ndarray
#: timm's blocks by stage: (kind, kernel, stride, channels read, inside, out, groups).
Block = tuple[str, int, int, int, int, int, int]
#: Of MobileNetEdgeTPUv2's kinds, one of each.
EDGETPU: tuple[tuple[Block, ...], ...] = (
    (("cn", 1, 1, 8, 8, 6, 1),),
    (("er", 3, 2, 6, 12, 8, 1), ("er", 3, 1, 8, 32, 8, 2)),
    (("ir", 3, 2, 8, 16, 8, 1), ("ir", 5, 1, 8, 16, 8, 1)),
)
#: Of EfficientNet-EdgeTPU's: a first block of a width of its own, and a stage of several.
EFFICIENTNET: tuple[tuple[Block, ...], ...] = (
    (("er", 3, 1, 8, 12, 8, 1),),
    (("er", 3, 2, 8, 16, 8, 1), ("er", 3, 1, 8, 16, 8, 1)),
    (("ir", 5, 2, 8, 16, 10, 1), ("ir", 5, 1, 10, 20, 10, 1)),
)
TOP, CLASSES, SIDE = 12, 5, 22


def spec_of(name: str) -> ModelSpec:
    """The network of a list of blocks as this zoo publishes it: other classes, padding as TensorFlow pads."""
    if name == "small_edgetpu":
        stem, family, form = 5, "mobilenet_edgetpu_v2", "conv"
        stacks = (
            Stack(kind="project", kernel=1, filters=6),
            Stack(kind="fused", filters=8, stride=2, expansion=2),
            Stack(kind="group_fused", filters=8, expansion=4, group_size=16),
            Stack(kind="dw", filters=8, stride=2, expansion=2),
            Stack(kind="dw", kernel=5, filters=8, expansion=2),
        )
    else:
        stem, family, form = 3, "efficientnet_edgetpu", "dense"
        stacks = (
            Stack(kind="fused_late_stride", filters=8, mid_filters=12, residual=False),
            Stack(kind="fused_late_stride", filters=8, stride=2, expansion=2, repeats=2),
            Stack(kind="dw", kernel=5, filters=10, stride=2, expansion=2, repeats=2),
        )
    head = ClassifierHead(num_classes=9, top_filters=TOP, form=form)
    body = Backbone(stem=Stem(kernel=stem, filters=8), stacks=stacks)
    image = ImageInput(height=64, width=64)
    return ModelSpec(family=family, input=image, backbone=body, head=head)


CASES: dict[str, tuple[tuple[tuple[Block, ...], ...], int, str]] = {
    "small_edgetpu": (EDGETPU, 5, "mobilenet_edgetpu_v2_m"),
    "small_efficientnet": (EFFICIENTNET, 3, "efficientnet_es"),
}


def state_dict(stages: tuple[tuple[Block, ...], ...], stem: int) -> dict[str, Floats]:
    """Random weights under timm's names: kernels are (out, in, height, width)."""
    rng = np.random.default_rng(5)
    found: dict[str, Floats] = {}

    def conv(name: str, out: int, read: int, kernel: int) -> None:
        shape = (out, read, kernel, kernel)
        found[f"{name}.weight"] = rng.normal(0, (read * kernel**2) ** -0.5, shape)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, width)
        found[f"{name}.bias"] = rng.normal(0, 0.3, width)
        found[f"{name}.running_mean"] = rng.normal(0, 0.3, width)
        # Small ones, so that the epsilon counts.
        found[f"{name}.running_var"] = rng.uniform(0.002, 1, width)
        found[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv_stem", 8, 3, stem)
    norm("bn1", 8)
    for stage, blocks in enumerate(stages):
        for index, (kind, kernel, _, read, inside, out, groups) in enumerate(blocks):
            name = f"blocks.{stage}.{index}"
            if kind == "cn":
                conv(f"{name}.conv", out, read, kernel)
                norm(f"{name}.bn1", out)
                continue
            if kind == "er":
                conv(f"{name}.conv_exp", inside, read // groups, kernel)
                norm(f"{name}.bn1", inside)
            else:
                conv(f"{name}.conv_pw", inside, read, 1)
                norm(f"{name}.bn1", inside)
                conv(f"{name}.conv_dw", inside, 1, kernel)
                norm(f"{name}.bn2", inside)
            conv(f"{name}.conv_pwl", out, inside, 1)
            norm(f"{name}.{'bn2' if kind == 'er' else 'bn3'}", out)
    conv("conv_head", TOP, stages[-1][-1][5], 1)
    norm("bn2", TOP)
    found["classifier.weight"] = rng.normal(0, 1, (CLASSES, TOP))
    found["classifier.bias"] = rng.normal(0, 1, CLASSES)
    return {
        name: value if name.endswith("tracked") else value.astype(np.float32)
        for name, value in found.items()
    }


class Timm:
    """timm's network in NumPy, channels first: symmetric padding, epsilon of 1e-5, all 64 bits wide."""

    def __init__(self, values: dict[str, Floats]) -> None:
        self.values = {name: value.astype(float) for name, value in values.items()}

    def conv(self, x: Floats, name: str, stride: int = 1, groups: int = 1) -> Floats:
        kernel = self.values[f"{name}.weight"]
        side, pad = kernel.shape[-1], kernel.shape[-1] // 2
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
        windows = windows[:, ::stride, ::stride]
        parts = np.split(windows, groups), np.split(kernel, groups)
        return np.concatenate(
            [np.einsum("chwij,ocij->ohw", *part) for part in zip(*parts, strict=True)]
        )

    def norm(self, x: Floats, name: str, *, relu: bool = True) -> Floats:
        gamma, beta, mean, variance = (
            self.values[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        return np.maximum(x, 0) if relu else x

    def block(self, x: Floats, name: str, block: Block, *, skip: bool) -> Floats:
        kind, _, stride, _, inside, out, groups = block
        if kind == "cn":
            return self.norm(self.conv(x, f"{name}.conv"), f"{name}.bn1")
        if kind == "er":
            y = self.norm(self.conv(x, f"{name}.conv_exp", stride, groups), f"{name}.bn1")
        else:
            y = self.norm(self.conv(x, f"{name}.conv_pw"), f"{name}.bn1")
            y = self.norm(self.conv(y, f"{name}.conv_dw", stride, inside), f"{name}.bn2")
        last = "bn2" if kind == "er" else "bn3"
        y = self.norm(self.conv(y, f"{name}.conv_pwl"), f"{name}.{last}", relu=False)
        return y + x if skip and stride == 1 and x.shape[0] == out else y

    def __call__(self, image: Floats, stages: tuple[tuple[Block, ...], ...]) -> Floats:
        x = self.norm(self.conv(image.transpose(2, 0, 1), "conv_stem", 2), "bn1")
        for stage, blocks in enumerate(stages):
            for index, block in enumerate(blocks):
                # EfficientNet's first block says `noskip`.
                x = self.block(x, f"blocks.{stage}.{index}", block, skip=stage > 0)
        x = self.norm(self.conv(x, "conv_head"), "bn2").mean((1, 2))
        scores = self.values["classifier.weight"] @ x + self.values["classifier.bias"]
        shares: Floats = np.exp(scores - scores.max())
        return shares / shares.sum()


def write(folder: Path, values: dict[str, Floats], architecture: str | None, **cfg: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    numpy_file.save_file(values, path)
    if architecture is not None:
        found = {"architecture": architecture, "pretrained_cfg": cfg}
        (folder / "config.json").write_text(json.dumps(found))
    return path


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small networks are known by name."""
    specs = {name: spec_of(name) for name in CASES}
    for name, spec in specs.items():
        entry = registry.Entry(name, lambda spec=spec: spec, "small")
        monkeypatch.setitem(registry.entries(), name, entry)
    of = registry.spec_of
    monkeypatch.setattr(registry, "spec_of", lambda n: specs[n] if n in specs else of(n))


def images(count: int = 1, side: int = SIDE) -> Floats:
    return np.random.default_rng(1).normal(size=(count, side, side, 3)).astype(np.float32)


def config(**changes: Any) -> dict[str, Any]:
    return {"input_size": [3, SIDE, SIDE], "mean": [0.5] * 3, "std": [0.5] * 3} | changes


@pytest.mark.parametrize("name", CASES)
def test_the_network_computes_what_timms_does(name: str, tmp_path: Path) -> None:
    """Maps of 22, 11, 6 and 3 pixels: even and odd ones are padded differently."""
    stages, stem, architecture = CASES[name]
    values = state_dict(stages, stem)
    path = write(tmp_path, values, architecture, **config())
    assert identify(path).models == (name,)
    want = np.stack([Timm(values)(image, stages) for image in images()])
    model = import_checkpoint(path, name, check=(images(), want.astype(np.float32)))
    np.testing.assert_allclose(np.asarray(model(images())), want, atol=2e-6)
    assert model.spec.num_classes == CLASSES
    assert (model.preprocessing.height, model.preprocessing.scale) == (SIDE, 127.5)


def test_weights_of_tensorflow_need_no_change(tmp_path: Path) -> None:
    values = state_dict(EFFICIENTNET, 3)
    path = write(tmp_path, values, "tf_efficientnet_es", **config(input_size=[3, 64, 64]))
    model = import_checkpoint(path, "small_efficientnet")
    assert model.spec.backbone == spec_of("small_efficientnet").backbone
    depthwise = model.get_layer("stack_2_block_0_depthwise_conv2d").get_weights()[0]
    want = values["blocks.2.0.conv_dw.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(depthwise, want)
    gamma = model.get_layer("stack_1_block_1_project_bn").get_weights()[0]
    np.testing.assert_array_equal(gamma, values["blocks.1.1.bn2.weight"])


def test_pixels_are_read_as_the_config_says(tmp_path: Path) -> None:
    values = state_dict(EFFICIENTNET, 3)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    path = write(tmp_path, values, "efficientnet_es", **config(mean=mean, std=std, crop_pct=0.9))
    reading = import_checkpoint(path, "small_efficientnet").preprocessing
    assert reading.crop == 0.9
    pixels = np.full((SIDE, SIDE, 3), 51, np.uint8)
    want = (0.2 - np.array(mean)) / std
    np.testing.assert_allclose(reading(pixels)[0, 0, 0], want, rtol=1e-5)


def test_a_spec_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, state_dict(EFFICIENTNET, 3), "efficientnet_es", **config())
    spec = spec_of("small_efficientnet")
    assert spec.head is not None
    spec = replace(spec, head=replace(spec.head, num_classes=CLASSES))
    assert import_checkpoint(path, spec).spec == spec
    # The activation of the first block is no matter of a pixel.
    path = write(tmp_path / "v2", state_dict(EDGETPU, 5), "mobilenet_edgetpu_v2_m", **config())
    with pytest.raises(DataError, match="timm activates the output of blocks.0.0.conv"):
        import_checkpoint(path, spec_of("small_edgetpu"))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    values = state_dict(EFFICIENTNET, 3)
    path = write(tmp_path / "es", values, "efficientnet_es", **config())
    looks = "looks like small_efficientnet .timm., which is not efficientnet_edgetpu_s: "
    with pytest.raises(DataError, match=f"{looks}input: must be at least the total stride"):
        import_checkpoint(path, "efficientnet_edgetpu_s")
    path = write(tmp_path / "es", values, "efficientnet_es", **config(input_size=[3, 32, 32]))
    with pytest.raises(DataError, match=rf"{looks}conv_stem.weight must have .* \(8, 3, 3, 3\)"):
        import_checkpoint(path, "efficientnet_edgetpu_s")
    more = values | {"blocks.1.0.se.conv_reduce.weight": np.zeros((2, 8, 1, 1), np.float32)}
    path = write(tmp_path / "se", more, "efficientnet_b0", **config())
    with pytest.raises(DataError, match="it also holds blocks.1.0.se.conv_reduce.weight"):
        import_checkpoint(path, "small_efficientnet")
    with pytest.raises(DataError, match="keeps no moving average"):
        import_checkpoint(path, "small_efficientnet", averages=True)
    path = write(tmp_path / "bare", values, None)
    with pytest.raises(DataError, match="needs the config.json it was published with"):
        import_checkpoint(path, "small_efficientnet")
    path.with_name("config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="must name timm's architecture"):
        import_checkpoint(path, "small_efficientnet")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="Cannot read weights"):
        import_checkpoint(path, "small_efficientnet")

"""Checkpoints in the layouts of the Model Garden and of TensorFlow 1 load into networks, whole or not at all."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import published_files as files
import pytest

from hw_model.errors import DataError, UnknownNameError
from model_zoo import registry
from model_zoo.create import create_spec
from model_zoo.importers.checkpoints import LAYOUTS, identify, import_checkpoint
from model_zoo.importers.sources import ArraySource, files_of
from model_zoo.spec.image import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem
from model_zoo.spec.reading import Spec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.text import MaskedLmHead, SpanHead, TextEncoder, TextInput, TextSpec

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="checkpoints are read by TensorFlow"
)

STACKS = (
    Stack(kind="project", kernel=1, filters=8),
    Stack(kind="fused", filters=12, stride=2, expansion=2),
    Stack(kind="group_fused", filters=12, expansion=2, group_size=8),
    Stack(kind="dw", filters=16, stride=2, expansion=2),
    Stack(kind="dw", filters=16, stride=2, expansion=2),
)


def small(family: Any, head: Any) -> ModelSpec:
    """The network of `garden_backbone`, with strides up to 16."""
    body = Backbone(stem=Stem(kernel=5, filters=8), stacks=STACKS)
    return ModelSpec(family=family, input=ImageInput(height=32, width=32), backbone=body, head=head)


def classifier() -> ModelSpec:
    head = ClassifierHead(num_classes=files.CLASSES, top_filters=20)
    return small("mobilenet_edgetpu_v2", head)


def deeplab() -> ModelSpec:
    head = DeepLabHead(
        num_classes=files.CLASSES,
        level=4,
        low_level=3,
        pyramid_filters=6,
        low_filters=5,
        filters=7,
    )
    return small("deeplabv3plus_mobilenet_edgetpu_v2", head)


def autoseg() -> ModelSpec:
    head = BifpnHead(num_classes=files.CLASSES, filters=4, repeats=2, min_level=3, max_level=5)
    return small("autoseg_edgetpu", head)


def mobilebert(head: Any = None) -> TextSpec:
    encoder = TextEncoder(
        blocks=2, bottleneck=8, intermediate=10, ffns=2, heads=2, hidden=12, embedding=6
    )
    rows = TextInput(sequence_length=8, vocabulary_size=30, max_length=16)
    return TextSpec(input=rows, encoder=encoder, head=head)


def quarter(name: str, **changes: Any) -> Spec:
    return create_spec(name, width=0.25, num_classes=files.CLASSES, **changes)


#: Layout -> the variables a publisher's program would write, the network, and what writes them.
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any], Any]] = {
    "garden classifier": (files.garden_classifier, classifier, files.write_objects),
    "garden DeepLabV3+": (files.garden_deeplab, deeplab, files.write_objects),
    "garden AutoSeg": (files.garden_autoseg, autoseg, files.write_objects),
    "garden MobileBERT": (
        lambda: files.garden_mobilebert("encoder"),
        mobilebert,
        files.write_objects,
    ),
    "slim MobileNetEdgeTPU": (
        files.slim_mobilenet,
        lambda: quarter("mobilenet_edgetpu_v1_dm1p0", input_shape=(32, 32, 3)),
        files.write_names,
    ),
    "EfficientNet-EdgeTPU": (
        lambda: files.tpu_efficientnet("efficientnet-edgetpu-S"),
        lambda: quarter("efficientnet_edgetpu_s", input_shape=(32, 32, 3)),
        files.write_names,
    ),
    "MobileDet": (
        lambda: files.mobiledet(3),
        lambda: create_spec(
            "ssdlite_mobiledet_edgetpu", width=0.125, num_classes=3, input_shape=(64, 64, 3)
        ),
        files.write_names,
    ),
    "SpaghettiNet": (
        lambda: files.spaghettinet(3),
        lambda: create_spec(
            "spaghettinet_edgetpu_s", width=0.25, num_classes=3, input_shape=(128, 128, 3)
        ),
        files.write_names,
    ),
}


def weights_of(model: Any) -> list[np.ndarray]:
    """All weights in the order the network runs; a group convolution's kernels, norms and range."""
    found: list[Any] = []
    for op in model.spec.graph().ops:
        layer = model.get_layer(op.name) if op.kind in LAYERS else None
        if layer is None:
            continue
        if op.kind == "GroupConv2D":
            found += layer.kernels
            for norm in layer.batch_norms:
                found += [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
            found += [layer.fake_quant.low, layer.fake_quant.high] if layer.fake_quant else []
        else:
            found += layer.weights
    return [np.asarray(weight) for weight in found]


LAYERS = (
    "Conv2D", "DepthwiseConv2D", "GroupConv2D", "BatchNorm", "Dense", "Embedding", "PositionEmbedding", "ScaleShift",
    "LayerNorm", "TiedLogits",
)  # fmt: skip


@pytest.mark.parametrize("layout", CASES)
def test_every_variable_lands_where_it_belongs(layout: str, tmp_path: Path) -> None:
    variables, spec, write = CASES[layout]
    values = files.values_of(variables())
    path = write(tmp_path / "ckpt-1", values)
    model = import_checkpoint(path, spec())
    assert model.weights_origin == "checkpoint:ckpt-1"
    for (name, want), got in zip(values.items(), weights_of(model), strict=True):
        np.testing.assert_array_equal(got, want.reshape(got.shape), err_msg=name)


def test_layers_are_numbered_as_published() -> None:
    """The Model Garden counts layers with weights; totals are those of checkpoints of its own networks."""
    layout = next(layout for layout in LAYOUTS if layout.title == "Model Garden classifier")
    for size, layers, variables, groups in (
        ("tiny", 101, 342, [8, 11, 14, 17, 20]),
        ("xs", 104, 292, [8, 15, 22]),
    ):
        nothing = ArraySource(Path("nothing"), {})
        found = list(layout.pieces(create_spec(f"mobilenet_edgetpu_v2_{size}"), nothing, "model/"))
        assert (len({piece.layer for piece in found}), len(found)) == (layers, variables)
        assert found[-1].names == (f"model/layer_with_weights-{layers - 1}/bias",)
        firsts = [piece.names[0] for piece in found if piece.names[0].endswith("/kernel_0")]
        assert firsts[: len(groups)] == [f"model/layer_with_weights-{n}/kernel_0" for n in groups]


def test_objects_are_found_however_they_were_saved(tmp_path: Path) -> None:
    """Trainers save parts of a model beside it, and keys are the shorter paths; some save the model alone."""
    values = files.values_of(files.garden_deeplab())
    parts = {part: f"model/{part}" for part in ("backbone", "decoder", "head")}
    beside = files.write_objects(tmp_path / "ckpt-2", values, parts)
    assert "backbone/layer_with_weights-0/kernel" + files.SUFFIX in keys(beside)
    assert not [key for key in keys(beside) if key.startswith("model/")]
    whole = files.write_objects(tmp_path / "ckpt-3", values)
    bare = {name.removeprefix("model/"): value for name, value in values.items()}
    root = files.write_objects(tmp_path / "ckpt-4", bare)
    names = files.write_names(tmp_path / "ckpt-5", {k + files.SUFFIX: v for k, v in values.items()})
    spec = deeplab()
    first = weights_of(import_checkpoint(beside, spec))
    for path in (whole, root, names):
        for got, want in zip(weights_of(import_checkpoint(path, spec)), first, strict=True):
            np.testing.assert_array_equal(got, want)


def keys(path: Path) -> list[str]:
    import tensorflow as tf

    return [name for name, _ in tf.train.list_variables(str(path))]


def test_a_pretrained_encoder_brings_its_table_and_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is saved under the head's shorter name; the spelling of the bias is a matter of TensorFlow's."""
    values = files.values_of(files.garden_mobilebert("encoder"))
    values |= files.values_of(files.garden_masked_words())
    table = "encoder/layer_with_weights-0/word_embedding/embeddings"
    shared = files.write_objects(tmp_path / "ckpt-1", values, {"masked_lm/embedding_table": table})
    assert "masked_lm/embedding_table" + files.SUFFIX in keys(shared)
    spelled = {name + files.SUFFIX: value for name, value in values.items()}
    spelled["masked_lm/embedding_table" + files.SUFFIX] = spelled.pop(table + files.SUFFIX)
    spelled["masked_lm/output_bias.Sbias" + files.SUFFIX] = spelled.pop(
        "masked_lm/bias" + files.SUFFIX
    )
    literal = files.write_names(tmp_path / "ckpt-2", spelled)
    register(monkeypatch, "small_bert", mobilebert(SpanHead()))
    for path in (shared, literal):
        model = import_checkpoint(path, "small_bert")
        assert model.spec.head == MaskedLmHead()
        np.testing.assert_array_equal(
            model.get_layer("word_embedding").get_weights()[0], values[table]
        )
        extra, bias = model.get_layer("masked_lm_logits").get_weights()
        np.testing.assert_array_equal(extra, values["masked_lm/extra_output_weights"])
        np.testing.assert_array_equal(bias, values["masked_lm/bias"])
    encoder = import_checkpoint(shared, mobilebert())
    assert encoder.spec.head is None


def register(monkeypatch: pytest.MonkeyPatch, name: str, spec: Spec) -> None:
    """Makes a small network known by a name."""
    entry = registry.Entry(name, lambda: spec, "small")
    monkeypatch.setitem(registry.entries(), name, entry)
    monkeypatch.setattr(
        registry, "spec_of", lambda n, of=registry.spec_of: spec if n == name else of(n)
    )


def test_narrow_slim_networks_keep_a_wide_top_and_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = files.values_of(files.slim_mobilenet(top=1280))
    path = files.write_names(tmp_path / "model.ckpt", values)
    register(
        monkeypatch,
        "small_v1",
        create_spec("mobilenet_edgetpu_v1_dm1p0", width=0.25, input_shape=(32, 32, 3)),
    )
    assert identify(path).models == ("small_v1",)
    model = import_checkpoint(f"{path}.index")
    assert (model.spec.head.top_filters, model.spec.num_classes) == (1280, files.CLASSES)


def test_averages_are_taken_where_asked_for(tmp_path: Path) -> None:
    values = files.values_of(files.tpu_efficientnet("edgetpunet-S"))
    averaged = {
        f"{name}/ExponentialMovingAverage": value + 10
        for name, value in values.items()
        if not name.endswith("/moving_mean")
    }
    path = files.write_names(tmp_path / "model.ckpt", values | averaged)
    spec = quarter("efficientnet_edgetpu_s", input_shape=(32, 32, 3))
    assert identify(path).averages
    kernel, mean = "edgetpunet-S/stem/conv2d/kernel", "edgetpunet-S/stem/tpu_batch_normalization/"
    raw = import_checkpoint(path, spec)
    np.testing.assert_array_equal(raw.get_layer("stem_conv2d").get_weights()[0], values[kernel])
    smooth = import_checkpoint(path, spec, averages=True)
    np.testing.assert_array_equal(
        smooth.get_layer("stem_conv2d").get_weights()[0], values[kernel] + 10
    )
    # Statistics that have no average are averages themselves.
    _, beta, moving, variance = smooth.get_layer("stem_bn").get_weights()
    np.testing.assert_array_equal(moving, values[f"{mean}moving_mean"])
    np.testing.assert_array_equal(variance, values[f"{mean}moving_variance"] + 10)
    np.testing.assert_array_equal(beta, values[f"{mean}beta"] + 10)
    only = files.write_names(tmp_path / "only.ckpt", averaged)
    with pytest.raises(DataError, match="moving average of edgetpunet-S/stem/.* alone"):
        import_checkpoint(only, spec)


def test_averages_of_the_model_garden_are_the_optimizers(tmp_path: Path) -> None:
    values = files.values_of(files.garden_classifier())
    slot = "/.OPTIMIZER_SLOT/optimizer/average"
    spelled = {name + files.SUFFIX: value for name, value in values.items()}
    spelled |= {name + slot + files.SUFFIX: value + 10 for name, value in values.items()}
    path = files.write_names(tmp_path / "ckpt-1", spelled)
    model = import_checkpoint(path, classifier(), averages=True)
    for got, want in zip(weights_of(model), values.values(), strict=True):
        np.testing.assert_array_equal(got, want + 10)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the small classifier."""
    values = files.values_of(files.garden_classifier())
    return files.write_objects(tmp_path_factory.mktemp("plain") / "ckpt-7", values)


def test_what_does_not_fit_is_named(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "small_v2", classifier())
    # Another size of the family: the first variable that does not fit, and what the file looks like.
    with pytest.raises(DataError) as error:
        import_checkpoint(plain, "mobilenet_edgetpu_v2_xs")
    assert str(error.value) == (
        f"{plain} looks like small_v2 (Model Garden classifier), which is not mobilenet_edgetpu_v2_xs: "
        "model/layer_with_weights-0/kernel must have shape (5, 5, 3, 32). Received: (5, 5, 3, 8)"
    )
    with pytest.raises(DataError, match=r"looks like small_v2 .* not autoseg_edgetpu_xs$"):
        import_checkpoint(plain, "autoseg_edgetpu_xs")
    with pytest.raises(DataError, match="keeps no moving average of model/layer_with_weights-0/"):
        import_checkpoint(plain, classifier(), averages=True)
    with pytest.raises(UnknownNameError):
        import_checkpoint(plain, "mobilenet_edgetpu_v2_x")
    odd = {"dense/kernel": np.zeros((2, 3), np.float32)}
    with pytest.raises(DataError, match="layout that is not known: dense/kernel"):
        import_checkpoint(files.write_names(tmp_path / "odd", odd), classifier())
    assert import_checkpoint(plain).name == "small_v2"


def test_a_part_of_a_deeper_network_is_not_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = files.values_of(files.garden_mobilebert("encoder"))
    path = files.write_objects(tmp_path / "ckpt-1", values)
    deep = mobilebert(SpanHead())
    register(monkeypatch, "deep_bert", deep)
    register(monkeypatch, "flat_bert", replace(deep, encoder=replace(deep.encoder, blocks=1)))
    register(monkeypatch, "thin_bert", replace(deep, encoder=replace(deep.encoder, ffns=1)))
    assert identify(path).models == ("deep_bert",)
    for name in ("flat_bert", "thin_bert"):
        with pytest.raises(DataError, match=f"like deep_bert .* not {name}: .* a part of it"):
            import_checkpoint(path, name)


def test_a_checkpoint_that_fits_nothing_says_so(plain: Path) -> None:
    with pytest.raises(
        DataError, match=r"no network of this zoo \(Model Garden classifier\); name"
    ):
        import_checkpoint(plain)


def test_damaged_files_are_refused(plain: Path, tmp_path: Path) -> None:
    for part in (".index", ".data-00000-of-00001"):
        copy = tmp_path / part[1:6]
        shutil.copytree(plain.parent, copy)
        cut = copy / f"{plain.name}{part}"
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        with pytest.raises(DataError, match="not a readable|damaged or cut short"):
            import_checkpoint(copy, classifier())
    values = files.values_of(files.garden_classifier())
    values["model/layer_with_weights-2/kernel"][0, 0, 0, 0] = np.nan
    path = files.write_objects(tmp_path / "ckpt-1", values)
    with pytest.raises(DataError, match="layer_with_weights-2/kernel holds what is no number"):
        import_checkpoint(path, classifier())


@pytest.mark.parametrize("name", ["model.pth", "pytorch_model.bin", "model.ckpt", "model"])
def test_pickles_are_refused_unread(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x04\x95" if name == "model" else b"PK\x03\x04archive")
    with pytest.raises(DataError, match="pickle.* convert it with safetensors"):
        import_checkpoint(path, classifier())


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ckpt-2.index").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a readable TensorFlow checkpoint"):
        import_checkpoint(tmp_path / "ckpt-2", classifier())
    with pytest.raises(DataError, match="prefix of a TensorFlow checkpoint"):
        import_checkpoint(tmp_path / "nothing.h5", classifier())
    (tmp_path / "ckpt-3.index").write_bytes(b"nothing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "ckpt-3.index").rename(tmp_path / "deep/model.ckpt.index")
    held = "one checkpoint; name its prefix. Received: ckpt-2.index, deep/model.ckpt.index"
    with pytest.raises(DataError, match=held):
        import_checkpoint(tmp_path, classifier())


def test_archives_and_folders_are_read_as_what_they_hold(plain: Path, tmp_path: Path) -> None:
    folder = plain.parent
    archive = Path(shutil.make_archive(str(tmp_path / "net"), "gztar", folder.parent, folder.name))
    assert identify(archive).layout == identify(folder).layout == "Model Garden classifier"
    model = import_checkpoint(archive, classifier())
    assert model.weights_origin == "checkpoint:net.tar.gz"
    assert files_of(archive) == (archive,)
    parts = (plain.with_name("ckpt-7.data-00000-of-00001"), plain.with_name("ckpt-7.index"))
    assert files_of(plain) == files_of(parts[0]) == files_of(folder) == parts


def test_answers_are_compared_with_those_expected(plain: Path) -> None:
    model = import_checkpoint(plain, classifier())
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    right = np.asarray(model(image, training=False))
    import_checkpoint(plain, classifier(), check=(image, right))
    with pytest.raises(DataError, match=r"differs by 0\.\d+ from what was expected"):
        import_checkpoint(plain, classifier(), check=(image, right + 0.01))
    with pytest.raises(DataError, match="Expected:"):
        import_checkpoint(plain, classifier(), check=(image, right[:, 1:]))

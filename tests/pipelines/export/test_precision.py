"""Precision policies: as data, and as files that hold what was asked for."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, SpecError, UsageError
from hw_model.io.tflite_file import load
from pipelines.export import Int8Runner, PostProcess, export_int8, load_certificate
from pipelines.export.mixed import convert_mixed, layers_of, prepare
from pipelines.export.precision import Policy, Rule, keeping, load_policy

Images = Callable[..., np.ndarray[Any, Any]]
CONV = "stack_2_block_0_fused_conv2d"
GROUPED = "stack_1_block_0_fused_groupconv2d"


def silent(*_: Any) -> None:
    """A report to nobody."""


@pytest.fixture(scope="module")
def samples(model: Any, make_images: Images) -> list[list[Any]]:
    return [[model.preprocessing(image[None])] for image in make_images(model.spec, 12)]


@pytest.fixture(scope="module")
def rounding(model: Any, samples: list[list[Any]]) -> Any:
    return prepare(model, samples, silent)


def dtypes_of(content: bytes) -> dict[str, str]:
    """Element types of all tensors by name, as LiteRT itself reads them."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=content).get_tensor_details()
    return {each["name"]: np.dtype(each["dtype"]).name for each in details}


def test_the_last_rule_that_names_a_layer_wins() -> None:
    policy = Policy(
        rules=(
            Rule(layers="stack_.*", precision="int16"),
            Rule(layers="stack_2_.*", precision="float32"),
            Rule(layers="stack_2_add", precision="int8"),
        )
    )
    assert policy.precision_of(["stack_1_conv"]) == "int16"
    assert policy.precision_of(["stack_2_conv"]) == "float32"
    assert policy.precision_of(["stack_2_add"]) == "int8"
    assert policy.precision_of(["stack_2_bn", "stack_2_add"]) == "int8"
    assert policy.precision_of(["my_stack_2_conv"]) is None  # whole names


@pytest.mark.parametrize("summary", ["", "plain", "both \" and '", "lines\nand \\ signs"])
def test_a_policy_reads_back_equal(summary: str, tmp_path: Path) -> None:
    policy = Policy(
        default="int16",
        summary=summary,
        rules=(Rule(layers=r"a\.b|it's", precision="float32"), Rule(layers="c", precision="int8")),
    )
    policy.save(tmp_path / "p.toml")
    assert load_policy(tmp_path / "p.toml") == policy


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('default = "int4"', SpecError, "default: must be one of 'int8', 'int16', 'float32'"),
        ('[[rules]]\nlayers = "("\nprecision = "int8"', SpecError, r"rules\[0\].layers: is no reg"),
        ('[[rules]]\nlayers = "a"', SpecError, r"rules\[0\].precision: is missing"),
        ('[[rule]]\nlayers = "a"', SpecError, "rule: unknown field"),
        ("default = ", DataError, "not valid TOML"),
        (None, DataError, "Cannot read"),
    ],
)
def test_a_bad_policy_is_named_with_file_and_place(
    text: str | None, error: type[EdgeZooError], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=says) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["int16", "float32"])
def test_kept_layers_are_in_their_precision_and_others_in_8_bits(
    precision: Any, rounding: Any
) -> None:
    policy = keeping([CONV, GROUPED], precision)
    content = rounding.apply(policy, name="net")
    kept, others = 0, 0
    found = dtypes_of(content)
    wanted = dtypes_of(rounding.float32)
    # Names of results that are cast go to what casts them, or stay: both are looked at.
    for operator in load(content).operators:
        name = load(content).tensors[operator.outputs[0]].name
        if operator.code in ("QUANTIZE", "DEQUANTIZE"):
            continue
        mine = CONV in name or GROUPED in name
        kept += mine
        others += not mine
        assert found[name] == (precision if mine else "int8"), name
    assert (
        kept == 1 + 1 + 12 + 1
    )  # a convolution; a split, its 12 convolutions and their concatenation
    assert others == len(load(rounding.float32).operators) - kept
    assert set(wanted.values()) == {"float32", "int32"}
    mixture = rounding.mixture(content, policy)
    counts = {held.precision: dict(held.operators) for held in mixture.operators}
    assert counts[precision] == {"CONV_2D": 13, "SPLIT": 1, "CONCATENATION": 1}
    assert sum(counts["int8"].values()) == others
    assert mixture.unmet == ()


def test_a_file_in_floats_throughout_is_the_float_file(
    rounding: Any, model: Any, samples: list[list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "f.tflite"
    path.write_bytes(rounding.apply(Policy(default="float32"), name="net"))
    images = np.concatenate([sample[0] for sample in samples])
    with Int8Runner(path) as runner:
        answers = runner(images)
    np.testing.assert_allclose(answers, model.predict(images, verbose=0), atol=1e-5)


def test_what_only_moves_values_is_as_what_it_moves(rounding: Any) -> None:
    content = rounding.apply(keeping(["probs"], "float32"), name="net")
    file = load(content)
    assert file.operators[-1].code == "RESHAPE"
    assert [file.tensors[index].element_type for index in file.outputs] == ["FLOAT32"]
    named = Policy(
        rules=(Rule(layers="probs", precision="float32"), Rule(layers="squeeze", precision="int8"))
    )
    file = load(rounding.apply(named, name="net"))
    assert [file.tensors[index].element_type for index in file.outputs] == ["INT8"]


def test_a_certificate_says_what_is_in_which_precision_and_on_the_host(
    exported: Any, make_images: Images, tmp_path: Path
) -> None:
    model, path = exported.model, tmp_path / "m.tflite"
    policy = keeping(["top_conv2d"], "float32")
    certificate = export_int8(
        model,
        make_images(model.spec, 12),
        path,
        policy=policy,
        evaluate_on=exported.test,
        progress=False,
    )
    assert load_certificate(path) == certificate
    assert certificate.mixture.policy == policy
    held = {each.precision: dict(each.operators) for each in certificate.mixture.operators}
    assert held["float32"] == {"CONV_2D": 1}
    assert not certificate.all_int8
    assert any(name.startswith("CONV_2D") for name in certificate.float_operators)
    hosted = {(each.target, each.operation): each.count for each in certificate.on_host}
    assert hosted["pixel6", "Conv2D"] == hosted["coral_usb", "Conv2D"] == 1
    assert certificate.predicted_equals_converted is None
    assert certificate.accuracy.int8_value > 0.8


def test_sixteen_bits_are_not_called_8(exported: Any, make_images: Images, tmp_path: Path) -> None:
    model = exported.model
    certificate = export_int8(
        model,
        make_images(model.spec, 4),
        tmp_path / "m.tflite",
        policy=keeping([CONV], "int16"),
        progress=False,
    )
    assert certificate.float_operators == ()
    assert not certificate.all_int8


def test_more_bits_bring_the_outputs_nearer(model: Any, samples: list[list[Any]]) -> None:
    from pipelines.export.fidelity import measure_sqnr

    levels = []
    for precision in ("int8", "int16"):
        converted, _ = convert_mixed(model, samples, Policy(default=precision), silent)
        levels.append(measure_sqnr(converted, samples[:4], silent)[-1].sqnr_db)
    assert levels[1] > levels[0] + 6


@pytest.mark.parametrize(
    ("pattern", "near"), [("stack_2_block_0_fusd_conv2d", CONV), ("block_2_.*", "stack_")]
)
def test_a_rule_that_matches_nothing_names_near_layers(
    pattern: str, near: str, rounding: Any
) -> None:
    policy = Policy(
        rules=(Rule(layers="stem_.*", precision="int16"), Rule(layers=pattern, precision="int16"))
    )
    with pytest.raises(SpecError, match=near) as caught:
        rounding.apply(policy, name="net")
    assert caught.value.path == "rules[1].layers"
    assert pattern in str(caught.value)


def test_policy_and_post_processing_exclude_each_other(detector: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Post-processing follows an int8 network"):
        export_int8(
            detector.model,
            detector.inputs,
            tmp_path / "d.tflite",
            policy=Policy(),
            postprocess=PostProcess(),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_ranges_of_its_own_is_refused(model: Any, samples: list[list[Any]]) -> None:
    from model_zoo.nn.quantize_aware import quantize_aware

    aware = quantize_aware(model, samples=[sample[0] for sample in samples])
    with pytest.raises(UsageError, match="learned ranges of its own"):
        prepare(aware, samples, silent)


def test_a_missing_quantizer_is_named_with_its_remedy(
    model: Any, samples: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(EnvironmentFault, match=r"edgezoo\[mixed\]"):
        prepare(model, samples, silent)


def test_layers_whose_names_end_in_numbers_are_told_apart() -> None:
    import keras

    from pipelines.export.convert import convert_float

    image = keras.Input((6, 6, 2), name="image")
    values = keras.layers.Conv2D(3, 1, name="conv", activation="relu")(image)
    values = keras.layers.Conv2D(4, 3, name="conv_1", activation="relu")(values)
    values = keras.layers.Conv2D(5, 3, name="conv_1_1")(values)
    model = keras.Model(image, values, name="net")
    file = load(convert_float(model, silent))
    assert [op.code for op in file.operators] == ["CONV_2D"] * 3
    assert layers_of(model, file) == (("conv",), ("conv_1",), ("conv_1_1",))


def test_constants_behind_the_tables_come_back_among_them() -> None:
    import keras

    from pipelines.export.edit import Edit
    from pipelines.export.runner import make_interpreter

    image = keras.Input((4, 4, 240), name="image")
    model = keras.Model(image, keras.layers.Conv2D(240, 3, name="conv")(image), name="net")
    sample = [np.random.default_rng(0).normal(size=(1, 4, 4, 240)).astype(np.float32)]
    content = prepare(model, [sample], silent).apply(Policy(), name="net")
    changed = Edit(content).content()
    assert _external(content)
    assert not _external(changed)
    answers = []
    for each in (content, changed):
        interpreter = make_interpreter(each)
        given = interpreter.get_input_details()[0]
        interpreter.set_tensor(given["index"], np.full(given["shape"], 17, np.int8))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.ptp(answers[0].astype(int)) > 0
    np.testing.assert_array_equal(*answers)


def _external(content: bytes) -> int:
    """How many constants lie behind the tables of a file."""
    from ai_edge_litert.schema_py_generated import ModelT

    return sum(buffer.offset > 1 for buffer in ModelT.InitFromPackedBuf(content, 0).buffers)

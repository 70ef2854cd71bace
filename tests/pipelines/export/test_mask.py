"""What an int8 file puts padding below words by: enough to hide it, and no more."""

from typing import Any

import numpy as np
import pytest
from questions_kit import LENGTH, Files, reading, small_data, small_model, small_spec

from pipelines.data.text.batches import question_inputs
from pipelines.export import load_certificate
from pipelines.export.mask import MARGIN, Clipping, clipped, clipping_of
from pipelines.export.samples import question_samples


def _short(model: Any) -> list[Any]:
    """Windows that are half padding."""
    texts = ("The oven.", "The lamp did it.", "In the morning, when the keeper did.")
    windows = reading().windows([("Who did?", text) for text in texts])
    inputs = question_inputs(reading(), windows)
    return [[inputs[each.name][row : row + 1] for each in model.inputs] for row in range(3)]


def _outputs(model: Any, samples: list[Any]) -> Any:
    inputs = [np.concatenate(parts) for parts in zip(*samples, strict=True)]
    return np.stack([np.asarray(each) for each in model(inputs, training=False).values()])


def _sharper(factor: float) -> Any:
    """The small model with scores `factor` times as large."""
    model = small_model()
    layer = model.get_layer("block_0_query")
    layer.set_weights([factor * weight for weight in layer.get_weights()])
    return model


def test_padding_stays_hidden_with_eight_bits_for_the_words_alone() -> None:
    model = small_model()
    samples = _short(model)
    assert sum((sample[1] == 0).sum() for sample in samples) > LENGTH
    clipping = clipping_of(model, samples)
    assert clipping is not None
    ((low, high),) = clipping.bounds
    assert model.spec.encoder.mask_value < clipping.mask_value <= -MARGIN
    assert high - low < 30 < -model.spec.encoder.mask_value
    own = _outputs(model, samples)
    noise = {}
    wide = Clipping(mask_value=-120.0, bounds=((low - 120, high),))
    visible = Clipping(mask_value=-0.5, bounds=clipping.bounds)
    for name, each in {"clipped": clipping, "wide": wide, "visible": visible}.items():
        with clipped(model, each):
            noise[name] = np.sqrt(np.mean((_outputs(model, samples) - own) ** 2))
    # What 120 steps are left to padding for costs more, and padding that is not hidden most.
    assert 3 * noise["clipped"] < noise["wide"]
    assert 20 * noise["clipped"] < noise["visible"]
    np.testing.assert_array_equal(_outputs(model, samples), own)


def test_larger_scores_need_more_and_the_networks_own_is_the_most() -> None:
    samples = question_samples(small_model(), small_data().train, 6, reading())
    found = [clipping_of(_sharper(factor), samples) for factor in (1.0, 2.0, 1e4)]
    values = [clipping.mask_value if clipping else 0.0 for clipping in found]
    assert values[0] > values[1] > values[2] == -120.0


@pytest.mark.parametrize("own", [-4.0, -1e9])
def test_a_mask_of_any_size_is_taken(own: float) -> None:
    model = small_model(small_spec(mask_value=own))
    clipping = clipping_of(model, question_samples(model, small_data().train, 6, reading()))
    assert clipping is not None
    assert clipping.mask_value == own or -120 < clipping.mask_value <= -MARGIN


def test_the_certificate_says_it(answerer: Files, exported: Any) -> None:
    assert -120 < (load_certificate(answerer.tflite).mask_value or 0) <= -MARGIN
    assert exported.certificate.mask_value is None
    assert clipping_of(exported.model, []) is None

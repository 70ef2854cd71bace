"""Files of networks that answer questions: what they are, what they hold, and what scores them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from questions_kit import LENGTH, Files, reading, small_data, small_model, small_spec

from hw_model.errors import DataError, UsageError
from hw_model.io import float_operators
from model_zoo.text import Vocabulary
from pipelines.data.text.batches import question_inputs
from pipelines.export import certificate_path, evaluate_tflite, export_int8, load_certificate
from pipelines.export.edit import Edit
from pipelines.export.questions import (
    READING,
    QuestionRunner,
    check_answers,
    embedded_words,
    question_reading,
)
from pipelines.export.samples import question_samples
from pipelines.tasks.answer import reading_of_file, score_answers


def test_a_file_is_the_predicted_graph_in_integers_and_says_what_runs_on_the_host(
    answerer: Files,
) -> None:
    certificate = load_certificate(answerer.tflite)
    assert certificate.all_int8
    assert certificate.predicted_equals_converted
    assert {(port.name, port.dtype, port.shape) for port in certificate.inputs} == {
        (f"input_{name}", "int32", (1, LENGTH)) for name in ("word_ids", "mask", "type_ids")
    }
    assert [port.name for port in certificate.outputs] == ["end_logits", "start_logits"]
    on_host = {(item.target, item.operation): item.count for item in certificate.on_host}
    # Words, types and the mask are looked up; Coral's USB accelerator multiplies no two activations.
    assert on_host == {("coral_usb", "Embedding"): 3, ("coral_usb", "MatMul"): 2}
    assert certificate.accuracy is not None
    assert certificate.accuracy.metric == "f1"


def test_a_file_answers_as_its_network_does(answerer: Files) -> None:
    model, data, own = small_model(), small_data(), reading()
    windows = own.windows([(each.question, each.context) for each in data.test.examples])
    inputs = question_inputs(own, windows)
    exact = model.predict_on_batch(inputs)
    with QuestionRunner(answerer.tflite) as runner:
        found = runner(inputs)
        for name, logits in found.items():
            noise = np.mean((logits - exact[name]) ** 2) / np.mean(exact[name] ** 2)
            assert noise < 0.05, name  # 13 dB, with weights nobody trained
        with pytest.raises(UsageError, match=f"reads {LENGTH} tokens"):
            runner({name: ids[:, :-1] for name, ids in inputs.items()})
        by_hand = score_answers(runner, data.test, own)
    assert evaluate_tflite(answerer.tflite, data.test, None, progress=False) == by_hand
    assert load_certificate(answerer.tflite).accuracy.int8_value == by_hand["f1"]  # type: ignore[union-attr]


def test_a_file_holds_its_vocabulary_and_settings(answerer: Files) -> None:
    assert question_reading(answerer.tflite) == reading()
    assert embedded_words(answerer.tflite) == len(reading().vocabulary)
    assert check_answers(answerer.tflite) == LENGTH


def test_a_vocabulary_or_length_that_is_not_the_files_is_refused(answerer: Files) -> None:
    words = reading().vocabulary.tokens
    fewer = Vocabulary(tokens=words[:-1])
    swapped = Vocabulary(tokens=(*words[:-2], words[-1], words[-2]))
    own = reading()
    for vocabulary, hint in ((fewer, "vocabulary has"), (swapped, "is not the one")):
        other = type(own)(vocabulary=vocabulary, settings=own.settings)
        with pytest.raises(DataError, match=hint):
            reading_of_file(answerer.tflite, LENGTH, other)
    with pytest.raises(UsageError, match="sequence_length"):
        reading_of_file(answerer.tflite, LENGTH, reading(40))


def test_damaged_and_other_files_are_named(answerer: Files, exported: Any, tmp_path: Path) -> None:
    edit = Edit(answerer.tflite.read_bytes())
    edit._model.metadata = []
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(edit.content())
    assert question_reading(bare) is None
    with pytest.raises(UsageError, match="--vocabulary"):
        reading_of_file(bare, LENGTH)
    edit.add_metadata(READING, b"no zlib stream")
    bare.write_bytes(edit.content())
    with pytest.raises(DataError, match="damaged"):
        question_reading(bare)
    with pytest.raises(UsageError, match="answers no questions"):
        QuestionRunner(exported.path)


def test_calibration_draws_different_questions(answerer: Files) -> None:
    model, data = small_model(), small_data()
    samples = question_samples(model, data.train, 5, reading())
    assert len(samples) == 5
    assert [part.shape for part in samples[0]] == [(1, LENGTH)] * 3
    again = question_samples(model, data.train, 5, reading())
    np.testing.assert_array_equal(samples, again)
    assert len({sample[0].tobytes() for sample in samples}) == 5
    most = question_samples(model, data.train, 999, reading())
    assert len(most) == len(data.train)
    with pytest.raises(UsageError, match="QuestionPreprocessor"):
        question_samples(model, data.train, 5, None)


@pytest.mark.slow
def test_layer_norms_and_open_lengths_export_in_integers(tmp_path: Path) -> None:
    model = small_model(small_spec(norm="layer_norm", activation="gelu"), free_length=True)
    path = tmp_path / "layers.tflite"
    certificate = export_int8(model, small_data(), path, progress=False)
    assert float_operators(path.read_bytes()) == ()
    assert certificate.all_int8
    assert certificate.inputs[0].shape == (1, LENGTH)
    assert certificate.sqnr.output_db > 15
    assert certificate_path(path).is_file()

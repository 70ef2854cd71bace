"""What 8 bits cost a network that answers questions, and what clipping attention's scores gives back.

python benchmarks/int8_answers.py MODEL --data SQUAD

MODEL is a preset, a weights folder or a .keras file that knows its vocabulary. All forms answer the same questions.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from record import Column, save

from pipelines.cli.references import load
from pipelines.data.text import question_dataset
from pipelines.export import evaluate_tflite
from pipelines.export.convert import convert
from pipelines.export.fidelity import measure_sqnr
from pipelines.export.mask import Clipping, clipped, clipping_of
from pipelines.export.questions import OUTPUTS, finished
from pipelines.export.samples import question_samples
from pipelines.tasks import evaluate

SQNR_SAMPLES = 4


def measured(
    model: Any, samples: list[Any], clipping: Clipping | None, split: Any, folder: Path
) -> dict[str, float]:
    """Scores of an int8 file whose attention is treated so, and how near its end stays to the float file's."""
    with clipped(model, clipping):
        converted = convert(model, samples, lambda *_: None)
    noise = measure_sqnr(converted, samples[:SQNR_SAMPLES], lambda *_: None)
    path = folder / "form.tflite"
    path.write_bytes(finished(converted.int8, model.preprocessing, OUTPUTS))
    scores = evaluate_tflite(path, split, model.preprocessing)
    attention = [tensor.sqnr_db for tensor in noise if tensor.operator == "SOFTMAX"]
    return {**scores, "attention_db": min(attention), "output_db": noise[-1].sqnr_db}


def main() -> None:
    """The float network, its file with attention as it is, and its file as exported."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--data", required=True, help="SQuAD, as edgezoo train takes it")
    parser.add_argument("--samples", type=int, default=100, help="questions to calibrate on")
    parser.add_argument("--questions", type=int, default=0, help="test questions (default: all)")
    args = parser.parse_args()
    model, data = load(args.model), question_dataset(args.data)
    split: Any = data.test
    if args.questions:
        split = split.part(range(min(args.questions, len(split))))
    samples = question_samples(model, data.train, args.samples, model.preprocessing)
    clipping = clipping_of(model, samples)
    own = model.spec.encoder.mask_value
    found: dict[str, dict[str, float]] = {"float": evaluate(model, split, verbose=1)}
    with tempfile.TemporaryDirectory() as name:
        for form, each in ((f"int8, padding {own:g} below", None), ("int8, clipped", clipping)):
            found[form] = measured(model, samples, each, split, Path(name))
            print(form, found[form], flush=True)
    rows = [
        {
            "form": form,
            "exact_match": round(100 * scores["exact_match"], 2),
            "f1": round(100 * scores["f1"], 2),
            "attention_db": scores.get("attention_db"),
            "output_db": scores.get("output_db"),
        }
        for form, scores in found.items()
    ]
    save(
        "int8_answers",
        command=f"python benchmarks/int8_answers.py {Path(args.model).name} --data SQUAD",
        columns=[
            Column(key="form", heading="Form"),
            Column(key="exact_match", heading="EM, %", format=".2f"),
            Column(key="f1", heading="F1, %", format=".2f"),
            Column(key="attention_db", heading="Worst attention, dB", format=".1f"),
            Column(key="output_db", heading="Output, dB", format=".1f"),
        ],
        rows=rows,
        notes=[
            f"{model.name}, {len(split):,} questions of {data.name}, calibrated on {len(samples)}."
        ],
    )


if __name__ == "__main__":
    main()

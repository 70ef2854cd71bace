"""The main job on real images, start to end: classify, cost, fine-tune, int8, search again. `make demo`.

Uses the packages as any user would. Every figure it prints or draws comes from this run.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import EdgeZooError

if TYPE_CHECKING:
    from hw_model import CostReport
    from pipelines.data import ImageDataset
    from pipelines.export import Certificate
    from pipelines.report import Section
    from pipelines.search import Study

PRESET = "mobilenet_edgetpu_v2_tiny_fashion_mnist"
TARGETS = ("pixel6", "coral_usb")
#: Trained before, so that a new budget starts from what is known; see `examples/make_study.py`.
STUDY = Path(__file__).parent / "study"
#: Below the budget the study was made for.
NEW_BUDGET = "0.25ms"
NEW_TRIALS = 4
SHOWN = 20
STEPS = 6


def main() -> int:
    """Runs all steps; the exit code is that of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="(default: out/demo)")
    parser.add_argument(
        "--weights-dir", type=Path, help="a weights folder instead of the shipped one"
    )
    parser.add_argument("--study", type=Path, default=STUDY, help="the study to go on with")
    args = parser.parse_args()
    if args.weights_dir is not None:
        os.environ["EDGEZOO_WEIGHTS"] = str(args.weights_dir.resolve())
    try:
        Demo(args.out, args.study).run()
    except EdgeZooError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("demo: error: interrupted; `make demo` starts it again", file=sys.stderr)
        return 130
    return 0


class Demo:
    """The steps in order; each prints one headline and adds a section to the page."""

    def __init__(self, out: Path, study: Path) -> None:
        self.out = out
        self.study = study
        self.sections: list[Section] = []
        #: What the page shows first: (figure, what it is).
        self.glance: list[tuple[str, str]] = []
        self.started = time.monotonic()
        self.step = 0
        self.earlier = 0

    def run(self) -> None:
        """Everything."""
        with self.headline("Load the preset and the images, check every SHA-256"):
            shutil.rmtree(self.out, ignore_errors=True)
            model, images = self.load()
        with self.headline(f"Classify held-out pictures of {images.name}"):
            self.classify(model, images)
        with self.headline("Latency and energy of one inference, and why the slow layers are slow"):
            self.cost(model)
        with self.headline("Fine-tune on another task: handwritten digits"):
            tuned, digits = self.fine_tune(model)
        with self.headline("Export to int8 and prove it"):
            self.export(tuned, digits)
        with self.headline(f"Search on for a new latency budget of {NEW_BUDGET}"):
            self.search()
        page = self.report()
        print(f"\nReport: {page}   ({self.seconds:.0f} s in all)")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @contextmanager
    def headline(self, text: str) -> Iterator[None]:
        """Names a step before, and its seconds after."""
        self.step += 1
        print(f"\n[{self.step}/{STEPS}] {text}", flush=True)
        before = self.seconds
        yield
        print(f"      {self.seconds - before:.1f} s", flush=True)

    def load(self) -> "tuple[Any, ImageDataset]":
        """The preset with its weights, and the images it was never trained on."""
        from pipelines.cli.frameworks import load_keras

        load_keras()
        import model_zoo
        from pipelines.data import load_dataset

        model = model_zoo.create_model(PRESET)
        images = load_dataset("fashion_mnist_small")
        print(
            f"      {PRESET}: {model.count_params():,} parameters, {len(images.test):,} test images"
        )
        return model, images

    def classify(self, model: Any, images: "ImageDataset") -> None:
        """A batch to look at, and top-1 on the whole held-out split."""
        from pipelines.data import subset
        from pipelines.report import classify_section
        from pipelines.train import predict, score

        scores = predict(model, images.test, verbose=int(sys.stdout.isatty()))
        metrics = score(scores, images.test.labels)
        print(f"      top-1 {metrics['top1']:.2%} on {len(images.test):,} held-out images")
        self.glance.append((f"{metrics['top1']:.2%}", f"top-1 of the preset on {images.name}"))
        batch = subset(images.test, SHOWN, seed=1)
        self.sections.append(
            classify_section(
                title="Classification",
                lead=f"{SHOWN} held-out pictures of {images.name} ({images.licence}), as many of each class.",
                images=batch.read(range(len(batch))),
                labels=batch.labels.tolist(),
                scores=predict(model, batch),
                class_names=images.class_names,
                facts=[(f"{metrics['top1']:.2%}", f"top-1 on all {len(images.test):,}")],
            )
        )

    def cost(self, model: Any) -> None:
        """Both targets, with the reasons of the slowest layers."""
        from hw_model import estimate
        from pipelines.report import cost_section

        for target in TARGETS:
            report = estimate(model, target=target)
            print_cost(report)
            shown = f"{report.latency_ms:.3f} ms"
            self.glance.append((shown, f"its latency on {target}, {report.energy_mj:.3f} mJ"))
            self.sections.append(cost_section(report))

    def fine_tune(self, model: Any) -> "tuple[Any, ImageDataset]":
        """Head first, then everything, at the preset's own image size."""
        from pipelines.data import load_dataset
        from pipelines.report import training_section
        from pipelines.train import finetune, load_recipe

        digits = load_dataset("digits")
        recipe = load_recipe("finetune_small")
        tuned, result = finetune(model, digits, recipe, run_dir=self.out / "digits")
        print(f"      top-1 {result.metrics['top1']:.2%} on {len(digits.test)} held-out digits")
        self.sections.append(
            training_section(
                title="Fine-tuning",
                lead=f"The same body with a fresh classifier, on {len(digits.train):,} pictures of digits "
                f"({digits.licence}), recipe {recipe.name}.",
                history=result.history,
                metrics=result.metrics,
                images=len(digits.test),
                wall_seconds=result.wall_seconds,
            )
        )
        return tuned, digits

    def export(self, model: Any, digits: "ImageDataset") -> None:
        """An int8 file, checked against the predicted graph and against the float model."""
        from pipelines.export import export_int8
        from pipelines.report import certificate_section

        certificate = export_int8(
            model,
            digits.train,
            self.out / "digits.tflite",
            target="coral_usb",
            evaluate_on=digits.test,
        )
        print_certificate(certificate)
        if certificate.accuracy is not None:
            shown = f"{certificate.accuracy.int8_value:.2%}"
            self.glance.append((shown, "top-1 of the int8 file on digits, after fine-tuning"))
        self.sections.append(certificate_section(certificate))

    def search(self) -> None:
        """The study that comes with the demo, continued under a tighter budget with new trainings."""
        from pipelines.report import study_sections
        from pipelines.search import Budget, best, export_winner, open_study, rebudget

        folder = self.out / "study"
        shutil.copytree(self.study, folder)
        self.earlier = len(open_study(folder).trials)
        study = rebudget(folder, Budget.parse(NEW_BUDGET), trials=NEW_TRIALS)
        winner = best(study)
        print_search(study)
        shown = f"{winner.quality:.2%}" if winner.quality is not None else "–"
        self.glance.append((shown, f"best network found within {study.budget}, trained briefly"))
        export_winner(study, self.out / "winner", trial=winner)
        self.sections += study_sections(study)

    def report(self) -> Path:
        """Everything on one page."""
        from pipelines.report import Section, figures, write

        first = Section(title="At a glance", body=figures(self.glance))
        return write(
            self.out / "report.html",
            "edgezoo demo",
            f"From a pretrained network to a new one within {NEW_BUDGET}, on real images.",
            [first, *self.sections],
            footer=f"Made by examples/demo.py in {self.seconds:.0f} s on {os.cpu_count()} CPU cores. "
            f"Accuracies were measured in this run, but for {self.earlier} trials of the study, trained when "
            "it was made. Latency and energy are predictions.",
        )


def print_cost(report: "CostReport") -> None:
    """The answer and the three slowest layers."""
    print(
        f"      {report.target_name}: {report.latency_ms:.3f} ms, {report.energy_mj:.3f} mJ "
        f"(±{report.declared_error:.0%} latency; energy not calibrated)"
    )
    for row in report.slowest(3):
        print(f"        {row.time_us:6.1f} us  {row.name}: {row.why}")


def print_certificate(certificate: "Certificate") -> None:
    """What was proven."""
    accuracy = certificate.accuracy
    assert accuracy is not None
    print(
        f"      {certificate.file}: {certificate.size_bytes:,} bytes, all int8: {certificate.all_int8}, "
        f"predicted = converted: {certificate.predicted_equals_converted}"
    )
    print(
        f"      top-1 float {accuracy.float_value:.2%}, int8 {accuracy.int8_value:.2%} "
        f"on {accuracy.images} images"
    )


def print_search(study: "Study") -> None:
    """Old and new best."""
    from pipelines.search import best

    first, last = study.manifest.phases[0].budget, study.budget
    for budget in (first, last):
        trial = best(study, budget)
        spent = budget.show(study.spent(trial, budget.quantity))
        print(f"      best within {budget}: {trial.quality:.2%} at {spent} ({trial.key})")


if __name__ == "__main__":
    sys.exit(main())

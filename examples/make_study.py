"""Makes the study that the demo goes on with: two dozen architectures, each trained briefly on real images.

`python examples/make_study.py` searches anew (half an hour of 2 cores); `--recost` keeps the trained trials and
computes their costs again, for when a target or the evaluator has changed.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.search import Budget, QualityConfig, SearchConfig, run_search
from pipelines.search.folder import StudyFolder
from pipelines.search.problem import Cost
from pipelines.search.store import TrialStore
from pipelines.search.wiring import make_problem

STUDY = Path(__file__).parent / "study"
WORK = Path("out/make_study")
#: What a continuation needs; costs of rejected candidates are computed again in no time.
FILES = ("study.json", "trials.journal", "quality.json", "repeats.json")
CONFIG = SearchConfig(
    folder="examples/study",
    name="demo",
    budget=Budget(quantity="latency_ms", limit=0.4),
    target="pixel6",
    image_size=28,
    channels=1,
    num_classes=10,
    width=0.5,
    trials=24,
    batch_size=4,
    quality=QualityConfig(
        kind="train",
        data="fashion_mnist_small",
        recipe="search_short",
        epochs=2,
        train_images=1000,
        test_images=600,
        repeats=4,
    ),
)


def main() -> None:
    """Searches, or computes costs again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recost", action="store_true", help="keep the trials, renew their costs")
    if parser.parse_args().recost:
        recost(STUDY)
    else:
        make()


def make() -> None:
    """Runs the search in a work folder and keeps what the demo needs, weights left out."""
    study = run_search(replace(CONFIG, folder=str(WORK)))
    manifest = replace(study.manifest, config=replace(study.manifest.config, folder=CONFIG.folder))
    study.folder.write_manifest(manifest)
    shutil.rmtree(STUDY, ignore_errors=True)
    STUDY.mkdir()
    for name in FILES:
        shutil.copy(WORK / name, STUDY / name)


def recost(place: Path) -> None:
    """Writes every trial again with the cost the current target and evaluator give it."""
    folder = StudyFolder(place)
    manifest = folder.manifest()
    problem = make_problem(manifest.config)
    url, name = folder.storage_url(manifest.config), manifest.config.name
    owner, quantities = manifest.folder_id, manifest.quantities
    with TrialStore.open(url, name, quantities, owner=owner, writable=False) as store:
        trials = store.trials()
    costs = problem.costs(np.asarray([trial.genotype for trial in trials], dtype=np.int64))
    renewed = [
        replace(trial, cost=cost)
        for trial, cost in zip(trials, costs, strict=True)
        if isinstance(cost, Cost)
    ]
    journal = place / "trials.journal"
    old = journal.rename(journal.with_suffix(".old"))
    folder.write_manifest(replace(manifest, cost_id=problem.cost_id, space_id=problem.space_id))
    with TrialStore.open(url, name, quantities, owner=owner, writable=True) as store:
        store.add(renewed)
    old.unlink()


if __name__ == "__main__":
    main()

"""The models that ship agree with the simulator on specs that no training saw."""

import pytest

from hw_model import load_target
from hw_model.calibrate.correlate import correlate
from hw_model.cost import evaluator_for
from hw_model.cost.learned import FILE_VARIABLE, FOLDER, Learned
from pipelines.cost_model.specs import is_held_out, random_specs

#: No training uses this seed, and what is held out no training sees whatever its seed.
SEED = 990_017
SPECS = 20


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.npz")))
def test_fresh_specs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    target = load_target(name)
    specs = [spec for spec in random_specs(SEED, 12 * SPECS) if is_held_out(spec.spec_id)][:SPECS]
    assert len(specs) == SPECS
    graphs = [spec.graph() for spec in specs]
    learned, simulator = Learned(target), evaluator_for(target, "simulator")
    said, true = ([each.report(graph) for graph in graphs] for each in (learned, simulator))
    for figure in ("latency_ms", "active_energy_mj", "energy_mj"):
        values = [[getattr(report, figure) for report in reports] for reports in (said, true)]
        found = correlate(*values)
        renew = f"{figure} of {name} is off the simulator's: run make cost-models"
        assert found.mape <= 0.03, renew
        assert found.spearman >= 0.99, renew

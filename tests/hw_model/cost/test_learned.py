"""The learned evaluator: parts add up, its file is checked to the last byte, and every mistake is one clear line."""

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_model import Target, load_target
from hw_model.cost.features import FEATURES_VERSION, Reader, sizes_of
from hw_model.cost.learned import FILE_VARIABLE, FOLDER, SIMULATOR_ID, Learned
from hw_model.cost.learned_file import (
    About,
    CostModel,
    HeldOut,
    Seen,
    read_cost_model,
    write_cost_model,
)
from hw_model.errors import DataError, EdgeZooError, UsageError
from model_zoo.registry import spec_of

SHIPPED = ("coral_devboard", "coral_usb", "pixel4", "pixel6")
FEATURES = 70
RENEW = "The shipped cost models are out of date: run make cost-models"


def some_model(target: Target, *, seed: int | None = None, features: int = FEATURES) -> CostModel:
    """A model with random weights, or with none: every factor is then 1."""
    rng = np.random.default_rng(seed)
    size = 0.0 if seed is None else 0.2

    def layer(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        return (rng.normal(0, size, (a, b)).astype("f4"), rng.normal(0, size, b).astype("f4"))

    held_out = HeldOut(
        specs=9, latency_mape=0.02, latency_spearman=1.0, energy_mape=0.01, energy_spearman=1.0
    )
    about = About(
        target_name=target.name, target_id=target.target_id, simulator_id=SIMULATOR_ID,
        features_version=FEATURES_VERSION, samples=80, seed=1, held_out=held_out,
    )  # fmt: skip
    return CostModel(
        about=about,
        mean=np.zeros(features, "f4"),
        scale=np.ones(features, "f4"),
        layers=(layer(features, 8), layer(8, 3)),
    )


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment says that the cost model is; holds one of random weights for coral_usb."""
    path = tmp_path / "model.npz"
    write_cost_model(some_model(load_target("coral_usb"), seed=3), path)
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("name", ["mobilenet_edgetpu_v2_l", "efficientnet_edgetpu_l"])
def test_rows_and_terms_add_up_to_the_report(name: str) -> None:
    target = load_target("coral_usb")
    learned, graph = Learned(target), spec_of(name).graph()
    report, rows = learned.report(graph), learned.rows(graph)
    total_us = sum(row.time_us for row in rows) + report.model_terms.total_us
    assert total_us == pytest.approx(1e3 * report.latency_ms, rel=1e-9)
    moved_pj = report.model_terms.moved_bytes * target.energy.input_bus_transfer_pj
    active_pj = sum(row.energy_pj for row in rows) + moved_pj
    assert active_pj * 1e-9 == pytest.approx(report.active_energy_mj, rel=1e-9)
    assert sum(row.macs for row in rows) == report.macs
    assert sum(row.bytes_by_level["link"] for row in rows) >= report.streamed_bytes > 0
    assert all(row.why and row.time_us >= 0 for row in rows)
    assert any(row.binding == "parameter_streaming" for row in rows)


def test_without_weights_it_says_what_the_counters_say(file: Path) -> None:
    target = load_target("coral_usb")
    write_cost_model(some_model(target), file)
    graph = spec_of("mobilenet_edgetpu_v2_s").graph()
    inputs, report = Reader(target).read(graph), Learned(target).report(graph)
    expected_us = inputs.base[:, :2].sum() + inputs.terms.fixed_us
    assert report.latency_ms * 1e3 == pytest.approx(expected_us, rel=1e-12)
    assert report.model_terms == inputs.terms


@pytest.mark.usefixtures("file")
def test_errors_of_both_steps_are_declared_together() -> None:
    target = load_target("coral_usb")
    report = Learned(target).report(spec_of("mobilenet_edgetpu_v2_s").graph())
    declared = 1.02 * (1 + target.accuracy.simulator_error) - 1
    assert report.declared_error == pytest.approx(declared)
    assert report.evaluator_id.startswith("learned-1.")


def test_the_id_changes_with_any_weight(file: Path) -> None:
    target = load_target("coral_usb")
    before = Learned(target).evaluator_id
    model = some_model(target, seed=3)
    model.layers[0][0][5, 5] += 1e-3
    write_cost_model(model, file)
    assert Learned(target).evaluator_id != before


def test_a_file_gives_back_what_was_written_and_equal_models_equal_bytes(tmp_path: Path) -> None:
    model = some_model(load_target("pixel6"), seed=7)
    write_cost_model(model, tmp_path / "a.npz")
    again = read_cost_model(tmp_path / "a.npz")
    assert again.about == model.about
    assert again.model_id == model.model_id
    for wrote, read in zip(model.layers, again.layers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(wrote, read, strict=True))
    write_cost_model(again, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        assert np.array_equal(plain["mean"], model.mean)


def test_no_damaged_file_is_believed(file: Path) -> None:
    good = file.read_bytes()
    known = read_cost_model(file).model_id
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(400):
        damaged = bytearray(good)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(good))]
        else:
            for place in rng.integers(len(good), size=rng.integers(1, 4)):
                damaged[place] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        try:
            # Dates and the like are in no member: those bytes may be anything.
            assert read_cost_model(file).model_id == known
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 350
    assert all("run edgezoo train-cost-model" in message for message in refused)


def _rewritten(path: Path, name: str, content: bytes) -> None:
    """Replaces one member, checksum and all, as somebody would who means it."""
    from hw_model.cost import learned_file

    members = learned_file._opened(path.read_bytes())
    members[name] = content
    members["sha256"] = learned_file._packed(
        np.frombuffer(learned_file._digest(members).encode(), np.uint8)
    )
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in members.items():
            archive.writestr(f"{each}.npy", data)


def _saved(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


HUGE = _saved(np.zeros(1, "f4")).replace(b"(1,),", b"(9999999999,),"[:14]).replace(b" " * 9, b"", 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mean", _saved(np.array([object()]), allow_pickle=True)),
        ("mean", _saved(np.zeros(FEATURES, "f8"))),
        ("mean", _saved(np.zeros(FEATURES - 1, "f4"))),
        ("mean", _saved(np.full(FEATURES, np.nan, "f4"))),
        ("mean", HUGE),
        ("mean", b""),
        ("scale", _saved(np.zeros(FEATURES, "f4"))),
        ("bias_1", _saved(np.zeros(4, "f4"))),
        ("weights_0", _saved(np.asfortranarray(np.ones((FEATURES, 8), "f4")))),
        ("weights_9", _saved(np.zeros((3, 3), "f4"))),
        ("about", _saved(np.frombuffer(b"{}", np.uint8))),
        ("about", _saved(np.frombuffer(b"[" * 10_000, np.uint8))),
        ("about", _saved(np.frombuffer(b"\xff\xfe", np.uint8))),
        ("seen", _saved(np.frombuffer(b"{}", np.uint8))),
        ("seen", _saved(np.frombuffer(b'{"kinds": [], "low": [0.5], "high": []}', np.uint8))),
        ("seen", _saved(np.frombuffer(b'{"kinds": [], "low": [NaN], "high": [1]}', np.uint8))),
    ],
)
def test_a_file_that_lies_is_refused(file: Path, name: str, content: bytes) -> None:
    _rewritten(file, name, content)
    with pytest.raises(DataError, match="is no cost model or is damaged"):
        read_cost_model(file)


def test_a_file_is_no_larger_than_a_model_can_be(file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", bytes(64 << 20))
    with pytest.raises(DataError, match="more than a cost model"):
        read_cost_model(file)
    with file.open("wb") as written:
        written.truncate(17 << 20)
    with pytest.raises(DataError, match="larger than"):
        read_cost_model(file)


def test_other_targets_simulators_and_features_are_refused(file: Path) -> None:
    target = load_target("coral_usb")
    with pytest.raises(UsageError, match="edgezoo train-cost-model for pixel6"):
        Learned(load_target("pixel6"))
    model = some_model(target)
    for other in (
        replace(target.memory, activation_bytes=target.memory.activation_bytes + 1),
        replace(target.memory, parameter_bytes=1),
    ):
        with pytest.raises(UsageError, match="was trained for target coral_usb"):
            Learned(replace(target, memory=other))
    for change in ({"simulator_id": "simulator-0"}, {"features_version": FEATURES_VERSION + 1}):
        write_cost_model(replace(model, about=replace(model.about, **change)), file)
        with pytest.raises(UsageError, match="run edgezoo train-cost-model"):
            Learned(target)


def test_a_target_without_a_model_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    for name in ("mine", "../coral_usb", "*"):
        with pytest.raises(UsageError, match=f"name its file in {FILE_VARIABLE}"):
            Learned(replace(load_target("coral_usb"), name=name))


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match=r"none\.npz: No such file"):
        Learned(load_target("coral_usb"))
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path))
    with pytest.raises(EdgeZooError):
        Learned(load_target("coral_usb"))


def test_the_shell_of_the_cost_model_reads_the_file(file: Path, root: Path) -> None:
    tiny = root / "tests/hw_model/io/fixtures/tiny_int8.tflite"
    words = [str(tiny), "--target", "coral_usb", "--evaluator", "learned"]
    done = subprocess.run(
        [sys.executable, "-m", "hw_model", *words],
        capture_output=True, text=True, check=False, cwd=root,
        env={**os.environ, FILE_VARIABLE: str(file)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_of_the_shipped_targets(name: str) -> None:
    path = FOLDER / f"{name}.npz"
    assert path.is_file(), RENEW
    about = read_cost_model(path).about
    target = load_target(name)
    known = (target.name, target.target_id, SIMULATOR_ID, FEATURES_VERSION)
    trained = (about.target_name, about.target_id, about.simulator_id, about.features_version)
    assert trained == known, RENEW
    held = about.held_out
    assert held.specs >= 300
    assert max(held.latency_mape, held.energy_mape) <= 0.03
    assert min(held.latency_spearman, held.energy_spearman) >= 0.99


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_say_what_they_did_not_see(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the networks they were trained around; kinds of other tasks, one line for each network."""
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    learned = Learned(load_target(name))
    assert learned.model.seen is not None, RENEW
    for known in ("mobilenet_edgetpu_v2_s", "efficientnet_edgetpu_m"):
        assert learned.report(spec_of(known).graph()).warnings == ()
    (line,) = learned.report(spec_of("mobilebert_edgetpu_xxs").graph()).warnings
    assert "MatMul" in line.split(" of a kind")[0]
    assert "its training did not have" in line
    assert "\n" not in line


def test_sizes_beyond_those_of_the_training_are_told(file: Path) -> None:
    target, model = load_target("coral_usb"), some_model(load_target("coral_usb"))
    graph, wide = (spec_of(f"mobilenet_edgetpu_v2_{size}").graph() for size in ("tiny", "l"))
    sizes = sizes_of(Reader(target).read(graph))
    kinds = tuple({type(part.kind).__name__ for part in Reader(target).read(graph).parts})
    seen = Seen(kinds=kinds, low=tuple(sizes.min(axis=0)), high=tuple(sizes.max(axis=0)))
    write_cost_model(replace(model, seen=seen), file)
    learned = Learned(target)
    assert learned.caveats(graph) == ()
    (line,) = learned.caveats(wide)
    assert "Conv2D" in line
    assert "of a size its training did not have" in line
    assert "of a kind" not in line
    # A file that does not say what it was trained on warns of nothing, and costs alike.
    write_cost_model(model, file)
    assert Learned(target).caveats(wide) == ()
    assert Learned(target).evaluator_id == learned.evaluator_id


def test_no_other_model_ships() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SHIPPED)

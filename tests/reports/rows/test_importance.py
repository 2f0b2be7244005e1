import sys
from pathlib import Path

import numpy as np
import pytest

from reports.rows.importance import Importances, begun, importances
from reports.rows.search import Dimension


def made_up(count: int, seed: int = 0) -> tuple[list[Dimension], list[float]]:
    """Trials whose NLL depends on the learning rate strongly, on the optimizer a little and on the batch not at all."""
    stream = np.random.default_rng(seed)
    rate = 10 ** stream.uniform(-4, -1, count)
    optimizer = stream.choice(["adam", "sgd"], count)
    batch = stream.choice([32, 64, 128], count)
    momentum = [
        float(value) if name == "sgd" else None for name, value in zip(optimizer, stream.random(count), strict=True)
    ]
    nlls = np.exp(2 * (np.log10(rate) + 2.5) ** 2 / 2 + 0.4 * (optimizer == "sgd") + stream.normal(0, 0.05, count) - 3)
    return [
        Dimension(name="batch", numeric=True, log=False, values=tuple(batch.tolist())),
        Dimension(name="optimizer", numeric=False, log=False, values=tuple(optimizer.tolist())),
        Dimension(name="momentum", numeric=True, log=False, values=tuple(momentum)),
        Dimension(name="rate", numeric=True, log=True, values=tuple(rate.tolist())),
    ], nlls.tolist()


def test_fields_are_ordered_by_their_true_effect() -> None:
    found = importances(*made_up(120))
    assert isinstance(found, Importances)
    assert found.rows[0].name == "rate"
    assert found.rows[-1].name == "batch"  # not momentum: whether it applies reveals the optimizer
    by_name = {row.name: row for row in found.rows}
    assert by_name["rate"].mean > 1.0  # shuffled, the prediction is worse than the mean
    assert abs(by_name["batch"].mean) < 0.05
    assert 0 < by_name["rate"].standard_deviation < by_name["rate"].mean
    assert 0.8 < found.skill <= 1
    assert found.trial_n == 120
    assert importances(*made_up(120)) == found  # deterministic


def test_noise_has_no_importances() -> None:
    fields, _ = made_up(60)
    said = importances(fields, np.random.default_rng(1).gamma(1.0, size=60).tolist())
    assert isinstance(said, str)
    assert said.startswith("the settings do not predict the results (R2 -")


def test_too_few_or_equal_trials_give_a_reason() -> None:
    fields, nlls = made_up(19)
    assert "fewer than 20 trials" in str(importances(fields, nlls))
    assert "no field that varied" in str(importances([], [0.1] * 50))
    fields, _ = made_up(40)
    assert importances(fields, [0.5] * 40) == "all trials have the same NLL: no field mattered"


def test_another_process_finds_the_same_and_loads_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "json", "sklearn", "reports"):
        (tmp_path / f"{name}.py").write_text("open('loaded', 'w')\n")
    expected = importances(*made_up(120))
    with monkeypatch.context() as patch:
        patch.setattr("reports.rows.importance.fitted", None)  # not here
        found = begun(*made_up(120))()
    assert found == expected
    assert not (tmp_path / "loaded").exists()
    monkeypatch.setattr(sys, "executable", None)  # Python inside another program
    assert begun(*made_up(120))() == found

import numpy as np
import pytest

from digits_core.data import Digits, Split
from digits_core.ensemble import combine
from digits_core.errors import UsageError
from digits_core.metrics import score
from digits_core.store import SweepStore
from sweeps.finalists import build_ensemble, score_winner_on_test
from tests.conftest import make_header


def test_winner_is_chosen_on_validation_and_scored_on_test(sweep_store: SweepStore) -> None:
    winner = sweep_store.ranked()[0].trial
    test = score_winner_on_test(sweep_store)
    probabilities = sweep_store.test_probabilities(winner)
    assert probabilities is not None
    assert test == score(sweep_store.test_labels(), probabilities)
    assert test.n == 359
    assert [opening.trials for opening in sweep_store.ledger()] == [(winner,)]


def test_ensemble_from_stored_predictions(sweep_store: SweepStore) -> None:
    record = build_ensemble(sweep_store, top=3)
    finalists = sweep_store.ranked()[:3]
    uniform = record.contender("uniform")
    assert uniform.weights == {finalist.trial: pytest.approx(1 / 3) for finalist in finalists}
    stacked = np.stack([sweep_store.validation_probabilities(finalist.trial) for finalist in finalists])
    expected = score(sweep_store.validation_labels(), combine(stacked, np.full(3, 1 / 3)))
    assert uniform.validation == expected
    assert record.best_single.validation.nll == pytest.approx(finalists[0].validation.nll)  # type: ignore[union-attr]
    assert [contender.method for contender in record.contenders] == ["single", "uniform", "greedy"]
    assert record.method in ("uniform", "greedy")
    better = record.chosen.validation.nll < record.best_single.validation.nll
    assert ("best single model looks better" in record.reason) == (not better)
    stored = sweep_store.ensemble()
    assert stored == record
    test = score(sweep_store.test_labels(), sweep_store.ensemble_test_probabilities())
    assert test.error_count == record.chosen.test.error_count
    assert test.nll == pytest.approx(record.chosen.test.nll, rel=1e-5)
    assert len(sweep_store.ledger()) == 1


def test_fewer_trials_than_asked_for(sweep_store: SweepStore) -> None:
    assert len(build_ensemble(sweep_store, top=50).contender("uniform").weights) == 4


def test_one_trial_is_its_own_ensemble(sweep_store: SweepStore) -> None:
    record = build_ensemble(sweep_store, top=1)
    assert record.method == "uniform"
    assert record.chosen.test.error_count == record.best_single.test.error_count


def test_nothing_to_combine(sweep_store: SweepStore, digits: Digits, split: Split) -> None:
    with pytest.raises(UsageError, match="--top must be at least 1"):
        build_ensemble(sweep_store, top=0)
    empty = SweepStore.create(sweep_store.folder.parent, make_header(digits, split, "empty"), split)
    assert score_winner_on_test(empty) is None
    with pytest.raises(UsageError, match="'empty' has no finished trial"):
        build_ensemble(empty, top=5)
    assert empty.ledger() == []

from dataclasses import replace

import numpy as np
import pytest

from digits_cli.printed.ensemble import ensemble_document, ensemble_lines
from digits_core.data.digits import Digits, Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.ensembling import build_ensemble, choose, combinations_of
from digits_core.judging.ensemble import combine, majority, scaled
from digits_core.judging.stats import mcnemar_p_value
from digits_core.metrics import score
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from tests.helpers.runs import make_header, reread, train_into


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top": 0}, "--top must be between 1 and"),
        ({"method": "gready"}, "did you mean 'greedy'"),
        ({"pool": "confirmd"}, "did you mean 'confirmed'"),
        ({"calibrate": "temprature"}, "did you mean 'temperature'"),
    ],
)
def test_bad_input(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EnsembleConfig(**changes)  # type: ignore[arg-type]


def test_ensemble_from_stored_predictions(sweep_store: Run) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=3))
    records = sweep_store.ranked[:3]
    uniform = record.contender("uniform")
    assert uniform.weights == {record.trial: pytest.approx(1 / 3) for record in records}
    stacked = np.stack([sweep_store.validation_probabilities(record.trial) for record in records])
    expected = score(sweep_store.validation_labels, combine(stacked, np.full(3, 1 / 3)))
    assert uniform.validation == expected
    assert record.best_single.validation.nll == pytest.approx(records[0].validation.nll)  # type: ignore[union-attr]
    assert [contender.method for contender in record.contenders] == ["single", "uniform", "greedy"]
    assert record.method in ("uniform", "greedy")
    better = record.chosen.validation.nll < record.best_single.validation.nll
    assert ("best single model has a lower validation NLL" in record.reason) == (not better)
    stored = sweep_store.ensemble
    assert stored == record
    test = score(sweep_store.test_labels, sweep_store.ensemble_test_probabilities)
    assert test.error_count == record.chosen.test.error_count
    assert test.nll == pytest.approx(record.chosen.test.nll, rel=1e-5)
    assert len(sweep_store.ledger) == 1


def test_fewer_trials_than_asked_for(sweep_store: Run) -> None:
    assert len(build_ensemble(sweep_store, EnsembleConfig(top=50)).contender("uniform").weights) == 4


def test_one_trial_is_its_own_ensemble(sweep_store: Run) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=1))
    assert record.method == "uniform"
    assert record.chosen.test.error_count == record.best_single.test.error_count


def test_nothing_to_combine(sweep_store: Run, digits: Digits, split: Split) -> None:
    empty = RunWriter.create(sweep_store.folder.parent, make_header(digits, split, "empty"), split)
    with pytest.raises(UsageError, match="'empty' has no validated trial"):
        build_ensemble(reread(empty), EnsembleConfig(top=5))
    assert reread(empty).ledger == ()


@pytest.fixture
def confirmed_store(sweep_store: Run, split: Split) -> Run:
    """The sweep with its best two recipes confirmed on two seeds each."""
    header = replace(sweep_store.header, name="confirmed", kind="confirmation", trial_count=4)
    confirmed = RunWriter.create(sweep_store.folder, header, split)
    for trial, (record, seed) in enumerate((record, seed) for seed in (10, 11) for record in sweep_store.ranked[:2]):
        train_into(
            confirmed, split, trial, record.recipe.with_overrides({"training.seed": seed}), 3, f"trial {record.trial}"
        )
    return sweep_store


def test_all_seeds_of_the_confirmed_recipes(confirmed_store: Run) -> None:
    record = build_ensemble(reread(confirmed_store), EnsembleConfig(pool="confirmed", top=2, method="uniform"))
    confirmed = reread(confirmed_store).confirmation()
    assert confirmed is not None
    assert record.pool == "confirmed"
    assert {member.trial for member in record.members} == {0, 1, 2, 3}
    assert record.chosen.weights == dict.fromkeys((0, 1, 2, 3), 0.25)
    leader = record.members[0].name.partition(" seed ")[0]
    assert [member.name.startswith(leader) for member in record.members] == [True, True, False, False]
    assert record.members[0].validation.nll <= record.members[1].validation.nll
    opened = [(opening.run, set(opening.trials)) for opening in reread(confirmed_store).ledger]
    assert opened == [("confirmed", {0, 1, 2, 3})]
    mean = np.mean([confirmed.test_probabilities(trial) for trial in range(4)], axis=0)
    assert confirmed_store.ensemble_test_probabilities == pytest.approx(mean, abs=1e-6)
    assert reread(confirmed_store).ensemble == record
    assert dict(ensemble_lines(confirmed_store, record, None))["uniform"].count("(0.50, 2 seeds)") == 2


def test_the_confirmed_pool_needs_a_confirmation(sweep_store: Run) -> None:
    with pytest.raises(UsageError, match="no recipe of 'tiny' is confirmed yet; run `digits confirm` first"):
        build_ensemble(reread(sweep_store), EnsembleConfig(pool="confirmed"))
    assert reread(sweep_store).ledger == ()


def test_predictions_of_another_split_are_refused_with_both_ids(confirmed_store: Run) -> None:
    confirmed = reread(confirmed_store).confirmation()
    assert confirmed is not None
    RunWriter(confirmed.folder).write_header(replace(reread(confirmed).header, split_id="another"))
    with pytest.raises(EnvironmentFailure, match=f"split another.*split {reread(confirmed_store).header.split_id}"):
        build_ensemble(reread(confirmed_store), EnsembleConfig(pool="confirmed"))


@pytest.mark.parametrize("method", ["uniform", "vote", "stack"])
def test_other_methods(sweep_store: Run, method: str) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=3, method=method, calibrate="temperature"))
    assert [contender.method for contender in record.contenders] == ["single", "uniform", method][
        : 2 + (method != "uniform")
    ]
    assert record.method in {"uniform", method}
    labels, trials = sweep_store.test_labels, [member.trial for member in record.members]
    test = np.stack([sweep_store.test_probabilities(trial) for trial in trials])
    if method == "vote":
        assert (record.method, record.chosen.test) == ("vote", score(labels, majority(test)))
    assert record.calibrated is not None
    if record.method == "uniform":
        expected = scaled(combine(test, np.full(3, 1 / 3)), record.calibrated.temperature)
        assert record.calibrated.test.error_count == record.chosen.test.error_count  # no prediction changes
        assert record.calibrated.test.nll == pytest.approx(score(labels, expected).nll)
        assert sweep_store.ensemble_test_probabilities == pytest.approx(expected, abs=1e-6)
    assert len(record.pairs) == 3
    assert record.parameter_count == sum(one.parameter_count for one in sweep_store.records if one.trial in trials)
    document = ensemble_document(sweep_store, record, None)
    assert document["ensemble"]["calibrated"]["temperature"] == record.calibrated.temperature
    assert "calibrated" in dict(ensemble_lines(sweep_store, record, None))


def test_what_the_ensemble_rescues_and_breaks(sweep_store: Run) -> None:
    record = build_ensemble(sweep_store, EnsembleConfig(top=3, method="uniform"))
    single = sweep_store.test_probabilities(record.members[0].trial).argmax(axis=1)
    labels, ours = sweep_store.test_labels, sweep_store.ensemble_test_probabilities.argmax(axis=1)
    against = record.against_single
    assert against is not None
    assert list(against.rescued) == np.flatnonzero((single != labels) & (ours == labels)).tolist()
    assert list(against.broken) == np.flatnonzero((single == labels) & (ours != labels)).tolist()
    assert against.p_value == mcnemar_p_value(ours != labels, single != labels)


def test_a_fitted_method_has_to_beat_the_uniform_vote() -> None:
    """Models for which nothing beats the vote; then one that predicts 1 for 7, which only a regression can undo."""
    stream = np.random.default_rng(0)
    labels = stream.integers(0, 10, 600)
    alike = stream.dirichlet(np.full(10, 0.5), (3, 600)) + 2 * np.eye(10)[labels]
    alike = (alike / alike.sum(axis=2, keepdims=True)).astype(np.float32)
    for method in ("greedy", "stack"):
        chosen, reason = choose(labels, combinations_of(method, labels, alike, alike))
        assert chosen == "uniform" or "beats the uniform vote" in reason
    swapped = np.full((2, 600, 10), 0.02, dtype=np.float32)
    swapped[:, np.arange(600), (labels + 1) % 10] = 0.82
    chosen, reason = choose(labels, combinations_of("stack", labels, swapped, swapped))
    assert chosen == "stack"
    assert reason.startswith("it beats the uniform vote (validation NLL, stack minus uniform: 95 % interval -")

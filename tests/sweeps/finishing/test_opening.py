from digits_core.data.digits import Digits, Split
from digits_core.metrics import score
from digits_core.runs.store import SweepStore
from sweeps.finishing.opening import score_leader_on_test
from tests.helpers.runs import make_header


def test_leader_is_chosen_on_validation_and_scored_on_test(sweep_store: SweepStore) -> None:
    leader = sweep_store.ranked()[0].trial
    test = score_leader_on_test(sweep_store)
    probabilities = sweep_store.test_probabilities(leader)
    assert probabilities is not None
    assert test == score(sweep_store.test_labels(), probabilities)
    assert test.n == 359
    assert [opening.trials for opening in sweep_store.ledger()] == [(leader,)]


def test_an_empty_sweep_has_no_leader(sweep_store: SweepStore, digits: Digits, split: Split) -> None:
    empty = SweepStore.create(sweep_store.folder.parent, make_header(digits, split, "empty"), split)
    assert score_leader_on_test(empty) is None
    assert empty.ledger() == []

"""Opens the sealed test set for named candidates once the search has ended; writes the leader's recipe to a file."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digits_core.inference.sealed import open_test
from digits_core.judging.candidates import candidates
from digits_core.metrics import Score, score
from digits_core.records import RunKind, RunRecord
from digits_core.runs.store import SweepStore
from sweeps.plans.confirming import Confirmation
from sweeps.words import counted


def keep_best_parameters(store: SweepStore) -> None:
    """Write the leader's recipe to a file. In a comparison or a confirmed sweep, the best mean over seeds leads."""
    if store.header.kind == RunKind.REFIT:  # only the test set could tell which is the best
        return
    confirmed = store.confirmation()
    if confirmed is None and store.header.kind != RunKind.COMPARISON:
        leaders = store.ranked()[:1]
    else:
        leaders = [one.record for one in candidates(store, confirmed)[:1]]
    for leader in leaders:
        store.write_best_parameters(leader)


def score_leader_on_test(store: SweepStore, purpose: str = "leader of the sweep") -> Score | None:
    """Open the sealed test set for the trial with the lowest validation NLL; None if no trial has one."""
    ranked = store.ranked()
    if not ranked:
        return None
    (probabilities,) = open_test(store, ranked[:1], purpose)
    return score(store.test_labels(), probabilities)


def score_all_on_test(store: SweepStore, purpose: str) -> None:
    """Open the sealed test set once, for every run that has not opened it yet. Nothing is selected by the result."""
    closed = [record for record in store.ranked() if not store.has_opened_test(record.trial)]
    if closed:
        open_test(store, sorted(closed, key=lambda record: record.trial), purpose)


def open_test_for_ensemble(store: SweepStore, members: Sequence[RunRecord]) -> npt.NDArray[np.float32]:
    """Open the sealed test set for the members of an ensemble. Returns their probabilities, (M, N, 10)."""
    return open_test(store, members, f"ensemble of {len(members)}")


def open_test_for(confirmation: Confirmation) -> None:
    """Open the sealed test set for a confirmation's runs that have not opened it yet; never for a cross-validation."""
    store = confirmation.store
    if not store.header.fold_count:
        what = "final models" if store.header.kind == RunKind.REFIT else "confirmation"
        score_all_on_test(store, f"{what} of {counted(confirmation.recipe_count, 'recipe')}")

"""After the search: the winner meets the sealed test part, and the best few are combined."""

import time

import numpy as np
import numpy.typing as npt

from digits_core.comparison import compare_runs
from digits_core.ensemble import combine, cross_fitted_greedy, greedy_weights, nll_difference, uniform_weights
from digits_core.errors import UsageError
from digits_core.metrics import Score, score
from digits_core.records import Contender, EnsembleRecord
from digits_core.sealed import open_test
from digits_core.stats import paired_mean_interval
from digits_core.store import SweepStore


def keep_best_parameters(store: SweepStore) -> None:
    """Leave the winner's recipe as a file; of a comparison that of the recipe that leads by its mean over seeds."""
    ranked = store.ranked()
    if store.header.kind == "comparison":
        leaders = compare_runs(store)[:1]
        ranked = [record for record in ranked for row in leaders if record.trial == row.trials[0]]
    for winner in ranked[:1]:
        store.write_best_parameters(winner)


def score_winner_on_test(store: SweepStore, purpose: str = "winner of the sweep") -> Score | None:
    """Open the sealed test part for the trial with the lowest validation NLL; None if no trial has one."""
    ranked = store.ranked()
    if not ranked:
        return None
    (probabilities,) = open_test(store, ranked[:1], purpose)
    return score(store.test_labels(), probabilities)


def score_all_on_test(store: SweepStore, purpose: str) -> None:
    """Open the sealed test part once, for every run that it is still closed for; nothing is picked by it."""
    closed = [record for record in store.ranked() if not store.has_opened_test(record.trial)]
    if closed:
        open_test(store, sorted(closed, key=lambda record: record.trial), purpose)


def build_ensemble(store: SweepStore, top: int) -> EnsembleRecord:
    """Combine the `top` best trials from their stored predictions, keep the result and return it.

    Uniform soft vote and greedy selection are both fitted on validation. Greedy is used only where
    its cross-fitted NLL beats the uniform vote's by more than the paired 95 % interval allows for chance.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    finalists = [record for record in store.ranked() if store.can_be_tested(record.trial)][:top]
    if not finalists:
        raise UsageError(f"sweep {store.header.name!r} has no finished trial to combine; run a sweep first")
    labels = store.validation_labels()
    validation = np.stack([store.validation_probabilities(record.trial) for record in finalists])
    weights = {"uniform": uniform_weights(len(finalists)), "greedy": greedy_weights(labels, validation)}
    combined = {
        "uniform": combine(validation, weights["uniform"]),
        "greedy": cross_fitted_greedy(labels, validation),
    }
    method, reason = _choose(labels, combined["greedy"], combined["uniform"])

    test = open_test(store, finalists, f"ensemble of {len(finalists)}")
    test_labels = store.test_labels()
    single = Contender(
        method="single",
        weights={finalists[0].trial: 1.0},
        validation=score(labels, validation[0]),
        test=score(test_labels, test[0]),
    )
    voted = [
        Contender(
            method=name,
            weights={r.trial: float(w) for r, w in zip(finalists, weights[name], strict=True) if w > 0},
            validation=score(labels, combined[name]),
            test=score(test_labels, combine(test, weights[name])),
        )
        for name in ("uniform", "greedy")
    ]
    contenders = (single, *voted)
    chosen = next(contender for contender in contenders if contender.method == method)
    record = EnsembleRecord(
        method=method,
        reason=reason + _against_single(chosen.validation, single.validation),
        created_at=time.time(),
        contenders=contenders,
    )
    store.write_ensemble(record, combined[method], combine(test, weights[method]))
    return record


def _choose(
    labels: npt.NDArray[np.int64], greedy: npt.NDArray[np.float64], uniform: npt.NDArray[np.float64]
) -> tuple[str, str]:
    difference = paired_mean_interval(nll_difference(labels, greedy, uniform))
    shown = f"validation NLL, greedy minus uniform: 95 % interval {difference.low:+.5f} .. {difference.high:+.5f}"
    if difference.high < 0:
        return "greedy", f"it beats the uniform vote ({shown})"
    return "uniform", f"greedy does not beat it ({shown})"


def _against_single(chosen: Score, single: Score) -> str:
    if chosen.nll < single.nll:
        return ""
    return (
        f"; on validation, where it was picked, the best single model looks better"
        f" (NLL {single.nll:.4f} against {chosen.nll:.4f})"
    )

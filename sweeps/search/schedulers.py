"""Early stopping: Ray Tune's schedulers by name, and what this project adds to all of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from digits_core.runs.journal import History
from sweeps.search.reported import EPOCH, FAILED, METRIC

MANY_EPOCHS = 12


def first_rung(max_epochs: int) -> tuple[int, int]:
    """ASHA's first rung, in epochs, and its reduction factor.

    Where epochs are many, they are cheap: the first rung is at a sixth of them and half of the trials continue, because
    one-cycle and cosine schedules look worse than they are until the learning rate has come down. Where epochs are
    few, they are expensive: the first rung is the first epoch and a third continues (docs/lab-log.md measures both).
    """
    return (max_epochs // 6, 2) if max_epochs >= MANY_EPOCHS else (1, 3)


def _asha(max_epochs: int) -> TrialScheduler:
    rung, reduction = first_rung(max_epochs)
    return AsyncHyperBandScheduler(time_attr=EPOCH, max_t=max_epochs, grace_period=rung, reduction_factor=reduction)


def _hyperband(max_epochs: int) -> TrialScheduler:
    rung, reduction = first_rung(max_epochs)
    return AsyncHyperBandScheduler(
        time_attr=EPOCH, max_t=max_epochs, grace_period=rung, reduction_factor=reduction, brackets=3
    )


def _median(max_epochs: int) -> TrialScheduler:
    return MedianStoppingRule(
        time_attr=EPOCH,
        grace_period=first_rung(max_epochs)[0],
        min_samples_required=3,
        min_time_slice=math.inf,  # never pause a trial to let others catch up: that only costs time
    )


BUILDERS: dict[str, Callable[[int], TrialScheduler]] = {
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "none": lambda max_epochs: FIFOScheduler(),  # noqa: ARG005
}
"""Schedulers by name, each built for the epochs of a full trial. `sweeps.plans.config.SCHEDULERS` describes them."""


@dataclass(frozen=True)
class StandIn:
    """A trial as Tune's schedulers see it: known by its number, which is the same in every session of a sweep."""

    trial_id: str


class SparingScheduler(TrialScheduler):  # type: ignore[misc]
    """Wraps a Ray Tune scheduler: never stops the first few trials, ignores failed ones, remembers earlier sessions.

    Trial 0 is the baseline: a sweep must not end up worse than its default only because the default started slowly. The
    others that are spared are recipes known to be good.
    The results of earlier sessions are replayed in their original order, so that a resumed sweep stops the trials that
    it would have stopped. Once the scheduler has decided to stop a trial, it gets no more results of that trial,
    whether the trial was stopped or spared.
    """

    def __init__(self, inner: TrialScheduler, history: History, spared: int) -> None:
        super().__init__()
        self.inner, self.history, self.spared = inner, history, spared
        self.last_epochs: dict[int, int] = {}
        self.condemned: dict[int, int] = {}  # trials to stop, each with the epoch after which

    def __getstate__(self) -> dict[str, Any]:
        return {}  # see QuietSearcher

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Called by Tune with the metric to minimise. From then on the scheduler takes results, so replay them here."""
        accepted: bool = self.inner.set_search_properties(metric, mode, **spec)
        for number, epoch in self.history.order:
            trial = self.history.trials[number]
            if trial.status == "failed":
                continue
            self._add(number)
            if epoch is not None:
                self._decide(number, epoch, trial.nlls[epoch])
            elif trial.nlls:
                last = max(trial.nlls)
                self.inner.on_trial_complete(None, _stand_in(number), {EPOCH: last, METRIC: trial.nlls[last]})
        return accepted

    def _add(self, number: int) -> None:
        if number not in self.last_epochs:
            self.last_epochs[number] = 0
            self.inner.on_trial_add(None, _stand_in(number))

    def _decide(self, number: int, epoch: int, value: float) -> bool:
        """Whether the trial should be stopped after this epoch. One that is trained again stops where it did before."""
        if number not in self.condemned and epoch > self.last_epochs[number]:
            self.last_epochs[number] = epoch
            result = {EPOCH: epoch, METRIC: value}
            if self.inner.on_trial_result(None, _stand_in(number), result) == TrialScheduler.STOP:
                self.condemned[number] = epoch
        return number in self.condemned and epoch >= self.condemned[number]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is about to run, for the first time or again."""
        self._add(trial.config["trial"])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE or STOP."""
        number = trial.config["trial"]
        if result[FAILED] or not self._decide(number, result[EPOCH], result[METRIC]) or number < self.spared:
            return str(TrialScheduler.CONTINUE)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Pass on the trial's last result, unless the trial failed."""
        number = trial.config["trial"]
        if not result[FAILED]:
            told = {EPOCH: result[EPOCH], METRIC: result[METRIC]}
            self.inner.on_trial_complete(tune_controller, _stand_in(number), told)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Nothing to do: the trial's process was lost."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing to do: the trial ended outside Tune's loop."""

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        return self.inner.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        """Only for Tune's own log lines, which are turned off."""
        return str(self.inner.debug_string())

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: see QuietSearcher."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called, because nothing was saved."""
        raise NotImplementedError


def _stand_in(number: int) -> StandIn:
    return StandIn(str(number))


def scheduler_for(name: str, max_epochs: int, history: History, spared: int = 1) -> SparingScheduler:
    """The scheduler of that name, which knows the results of earlier sessions and never stops the first `spared`."""
    return SparingScheduler(BUILDERS[name](max_epochs), history, spared)

"""Trains the trials of a run in this process, in a fixed order: as Ray Tune would, without Ray."""

import contextlib
from collections.abc import Callable, Iterator

from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from digits_core.runs.run import Run
from digits_core.training.cross_validation import upload
from digits_core.training.device import default_device
from sweeps.plans.planning import RunPlan
from sweeps.running.driver import Driver, Executor
from sweeps.running.objective import WORTH_ANOTHER_TRY, Attempt
from sweeps.running.runner import run_trials
from sweeps.search.reported import METRIC, reported
from sweeps.space.assignments import company_of
from sweeps.view.progress import SweepView
from tests.helpers.sweeps import Recorder


class Trial:
    """What a searcher and a scheduler see of Tune's trials, and one attempt at the trial."""

    def __init__(self, trial_id: str, config: dict[str, object]) -> None:
        self.trial_id, self.config = trial_id, config
        self.company = company_of(config)
        self.number, self.failures = self.company[0].trial, 0
        self.attempt: Attempt | None = None


class InThisProcess:
    """An executor that trains one epoch of each trial in turn, as many trials side by side as the plan says.

    Searcher, scheduler and driver hear of every event in the order in which Tune tells them (2.60:
    TuneController._process_trial_result). `is_lost` says whether the trial's process dies before this epoch.
    """

    def __init__(self, is_lost: Callable[[int, int], bool] = lambda trial, epoch: False) -> None:
        self.is_lost = is_lost

    @contextlib.contextmanager
    def ready(self, plan: RunPlan) -> Iterator[RunPlan]:
        yield plan

    def execute(self, plan: RunPlan, driver: Driver, searcher: Searcher, scheduler: TrialScheduler, left: int) -> None:
        self.driver, self.searcher, self.scheduler = driver, searcher, scheduler
        self.device, self.max_failures = default_device(), plan.header.policy.max_failures
        self.data = upload(plan.split, self.device)
        assert scheduler.set_search_properties(METRIC, "min")
        running: list[Trial] = []
        begun = 0
        while True:
            while len(running) < plan.header.concurrency and begun < left:
                suggested = searcher.suggest(str(begun))
                if not isinstance(suggested, dict):
                    break  # none is left, or it waits for results
                running.append(Trial(str(begun), suggested))
                begun += 1
                scheduler.on_trial_add(None, running[-1])
                self._begin(running[-1])
            if not running:
                assert begun == left
                return
            trial = running.pop(0)
            if self._goes_on(trial):
                running.append(trial)
            driver.turn()

    def _begin(self, trial: Trial) -> None:
        left, states = self.driver.begin(trial.company)
        trial.attempt = Attempt(left, self.data, self.device, states)

    def _goes_on(self, trial: Trial) -> bool:
        """Train one epoch. Whether the trial has another."""
        try:
            assert trial.attempt is not None
            company = trial.attempt.company
            if self.is_lost(trial.number, (company.runs[0].epoch if company else 0) + 1):
                raise OSError("the process was lost")
            progress = trial.attempt.advance()
        except WORTH_ANOTHER_TRY as error:
            return self._is_tried_again(trial, error)
        result = reported(progress[0].record)
        is_over = all(one.record.status != "stopped" for one in progress)
        is_stopped = not is_over and self.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
        if not is_over and not is_stopped:
            self.searcher.on_trial_result(trial.trial_id, result)
        self.driver.advanced(*progress)
        if is_over or is_stopped:
            self.scheduler.on_trial_complete(None, trial, result)
            self.searcher.on_trial_complete(trial.trial_id, result)
            self.driver.ended(trial.company)
        return not (is_over or is_stopped)

    def _is_tried_again(self, trial: Trial, error: BaseException) -> bool:
        trial.failures += 1
        if trial.failures <= self.max_failures:
            self.driver.retried(trial.company)
            self._begin(trial)
            return True
        self.scheduler.on_trial_error(None, trial)
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        self.driver.failed(trial.company, f"{type(error).__name__}: {error}")
        return False


def loses(*losses: tuple[int, int]) -> Callable[[int, int], bool]:
    """Each trial's process dies once before each of these epochs: (trial, epoch)."""
    left = set(losses)

    def is_lost(trial: int, epoch: int) -> bool:
        is_due = (trial, epoch) in left
        left.discard((trial, epoch))
        return is_due

    return is_lost


def run_here(plan: RunPlan, view: SweepView | None = None, executor: Executor | None = None) -> Run:
    """Run the plan's trials in this process."""
    return run_trials(plan, view or Recorder(), executor or InThisProcess())

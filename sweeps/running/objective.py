"""Trials, without Ray and without files: trains a recipe, or a company of trials of one recipe, epoch by epoch."""

import os
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Bundle, RunRecord, Status
from digits_core.runs.durable import Content
from digits_core.runs.trial_folder import Progress, best_files, bundle_file
from digits_core.training.copies import DeviceSplit
from digits_core.training.crew import Crew
from digits_core.training.cross_validation import DeviceFolds, trained_by

SECONDS_BETWEEN_STATES = 1.0
"""An interrupted trial repeats about this much at most. Keeping the state after every short epoch costs more."""

States = tuple[Bundle | None, Bundle | None]
"""What a trial continues from: its own last state, its parent's last."""

WORTH_ANOTHER_TRY = (EnvironmentFailure, MemoryError, OSError, torch.AcceleratorError)
"""Errors that may not happen again in another process. All others would: training is reproducible bit for bit."""


def use_threads(count: int) -> None:
    """Set the number of threads, whatever OMP_NUM_THREADS says, because results depend on it in their last bits.

    A sweep's trials use one thread each, because they run side by side.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")  # asked for more, OpenMP waits for ever
    torch.set_num_threads(min(count, int(limit)) if limit.isdecimal() else count)


class TrialRun:
    """A trial in progress: what is being trained for it, and what its record says so far."""

    def __init__(self, assignment: Assignment, data: DeviceSplit | DeviceFolds, state: Bundle | None = None) -> None:
        self.assignment, self.recipe = assignment, assignment.recipe
        self.trained = trained_by(self.recipe, data)
        self.inherited_epochs, self.started_at, self.stack_size = 0, time.time(), 0  # 0: not yet known
        self.state = state  # the state it continues from
        self.is_restored = state is not None  # and its restored epochs are not reported yet
        if state is not None:
            begun = state.facts["trial"]
            self.started_at, self.inherited_epochs = float(begun["started_at"]), int(begun["inherited_epochs"])
            self.stack_size = int(begun.get("stack_size", 0))
        self.is_best_sent = False
        self.is_reported = False  # whether its end has been reported

    @property
    def epoch(self) -> int:
        """The last finished epoch; 0 before the first."""
        return len(self.trained.curve)

    @property
    def finished(self) -> bool:
        """Whether the trial has trained its last epoch."""
        last_epoch = self.assignment.last_epoch
        return self.trained.finished or (last_epoch is not None and self.epoch >= last_epoch)

    @property
    def is_over(self) -> bool:
        """Whether it has finished or failed."""
        return self.finished or self.trained.failure is not None

    def kept(self, state: Bundle) -> Content:
        """The state as a file, with what `TrialRun` needs of it."""
        begun = {
            "recipe": asdict(self.recipe),
            "started_at": self.started_at,
            "inherited_epochs": self.inherited_epochs,
            "stack_size": self.stack_size,
        }
        return bundle_file(replace(state, facts={**state.facts, "trial": begun}))


class Company:
    """One trial, or several of one recipe that are trained together, in this process.

    assignments: of those that are not over. states: what earlier attempts at them left, and the last states of the
    trials that they continue from, by trial number; a state that does not fit is not used.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        data: DeviceSplit | DeviceFolds,
        device: torch.device,
        states: Mapping[int, States] | None = None,
        side_by_side: int = 1,
    ) -> None:
        self.device, self.runs, starts = device, list[TrialRun](), dict[int, Bundle]()
        for position, assignment in enumerate(assignments):
            state, parent_state = (states or {}).get(assignment.trial, (None, None))
            run = TrialRun(assignment, data, _fitting(assignment, state, data, device))
            self.runs.append(run)
            if run.state is not None:
                starts[position] = run.state
            elif assignment.parent is not None:
                starts[position] = _inherited(assignment, parent_state)
        self.crew = Crew([run.trained for run in self.runs], device, starts, side_by_side)
        for position, run in enumerate(self.runs):
            run.stack_size = run.stack_size or self.crew.stack_size(run.trained)
            if run.state is None and position in starts:  # the parent's best epoch is not the trial's
                run.trained.best, run.inherited_epochs = None, run.epoch
        self.states_kept_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether every trial has finished or failed."""
        return all(run.is_over for run in self.runs)

    def advance(self) -> list[Progress]:
        """Train one epoch of every trial that is not over. Returns what came of it, in the order of the assignments.

        The first time after resuming, report the restored epochs instead of training others: the driver may have died
        before it acted on them, and the scheduler may have stopped the trial there. Divergence is not raised: that
        trial's record says failed. Everything else is raised.
        """
        if not any(run.is_restored for run in self.runs) and not self.is_over:
            self.crew.run_epoch()
        going = [run for run in self.runs if not run.is_reported]
        if any(run.is_restored for run in going):
            going = [run for run in going if run.is_restored]
        # All at the same epoch, for they resume as one network. Also when one is over: its record may be the last thing
        # that is written, and the others must not begin again without it.
        is_one_over = len(going) > 1 and any(run.is_over for run in going)
        is_due = is_one_over or time.monotonic() - self.states_kept_at >= SECONDS_BETWEEN_STATES
        if is_due:
            self.states_kept_at = time.monotonic()
        return [self._progress(run, is_due=is_due) for run in going]

    def _progress(self, run: TrialRun, *, is_due: bool) -> Progress:
        run.is_restored = False
        failure, best = run.trained.failure, run.trained.best
        run.is_reported = run.is_over
        is_new = best is not None and failure is None and (best.epoch == run.epoch or not run.is_best_sent)
        run.is_best_sent |= is_new
        if failure is not None:
            return Progress(record=self.record(run, "failed", "".join(traceback.format_exception(failure))), best={})
        # Other trials continue from one that stops before the end of its recipe.
        keeps_state = not run.trained.finished if run.finished and len(self.runs) == 1 else is_due
        return Progress(
            record=self.record(run, "finished" if run.finished else "stopped"),
            best=best_files(best.validation_probabilities, best.weights) if best and is_new else {},
            state=run.kept(self.crew.state_of(run.trained)) if keeps_state else None,
        )

    def record(self, run: TrialRun, status: Status, error: str | None = None) -> RunRecord:
        """A trial's record as of now."""
        trained, best = run.trained, run.trained.best
        return RunRecord(
            trial=run.assignment.trial,
            status=status,
            recipe=run.recipe,
            started_at=run.started_at,
            ended_at=time.time(),
            device=str(self.device),
            precision=str(self.crew.precision).removeprefix("torch."),
            execution=self.crew.execution(trained, run.stack_size, is_one_of_several=bool(run.assignment.company)),
            thread_count=self.crew.thread_count,
            parameter_count=self.crew.parameter_count,
            curve=tuple(trained.curve),
            best_epoch=best.epoch if best else None,
            validation=best.validation if best else None,
            error=error,
            label=run.assignment.label,
            fold_scores=trained.fold_scores,
            parent=run.assignment.parent,
            inherited_epochs=run.inherited_epochs,
            last_epoch=run.assignment.last_epoch,
            company=run.assignment.company,
            stack_size=run.stack_size,
        )


def _fitting(
    assignment: Assignment, state: Bundle | None, data: DeviceSplit | DeviceFolds, device: torch.device
) -> Bundle | None:
    """The state, if the trial can continue from it: the network may be built differently by now."""
    if state is None:
        return None
    try:
        if Recipe.from_dict(state.facts["trial"]["recipe"]) != assignment.recipe:
            return None
        Crew([TrialRun(assignment, data, state).trained], device, {0: state})
    except (LookupError, ValueError, RuntimeError, TypeError, AttributeError):
        return None
    return state


def _inherited(assignment: Assignment, state: Bundle | None) -> Bundle:
    if state is None:
        raise EnvironmentFailure(f"the state of trial {assignment.parent}, from which this one continues, is missing")
    return state


class Attempt:
    """One attempt at a company's trials, by one process.

    What would fail again in another process ends in a record; the rest is raised.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        data: DeviceSplit | DeviceFolds,
        device: torch.device,
        states: Mapping[int, States] | None = None,
    ) -> None:
        self.assignments, self.data, self.device, self.states = tuple(assignments), data, device, states
        self.company: Company | None = None

    def advance(self) -> list[Progress]:
        """Train one epoch of every trial that is not over. Raises WORTH_ANOTHER_TRY."""
        started_at = time.time()
        try:
            if self.company is None:
                self.company = Company(self.assignments, self.data, self.device, self.states)
            return self.company.advance()
        except WORTH_ANOTHER_TRY:
            raise
        except Exception:  # noqa: BLE001 - whatever a network, an optimizer or an augmentation raises
            error = traceback.format_exc()
            if self.company is None:
                return [Progress(record=failed_record(one, started_at, error), best={}) for one in self.assignments]
            going = [run for run in self.company.runs if not run.is_reported]
            return [Progress(record=self.company.record(run, "failed", error), best={}) for run in going]


def failed_record(assignment: Assignment, started_at: float, error: str) -> RunRecord:
    """The record of a trial that never validated."""
    return RunRecord(
        trial=assignment.trial,
        status="failed",
        recipe=assignment.recipe,
        started_at=started_at,
        ended_at=time.time(),
        error=error,
        label=assignment.label,
        parent=assignment.parent,
        last_epoch=assignment.last_epoch,
        company=assignment.company,
    )

"""Runs a plan's trials, or those that are left, and writes the run's folder."""

import contextlib
import time
from dataclasses import dataclass

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from digits_core.errors import EnvironmentFailure
from digits_core.judging.objectives import values_of
from digits_core.records import RunSummary
from digits_core.runs.command_line import resume_command
from digits_core.runs.journal import History, Journal
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.plans.planning import RunPlan
from sweeps.plans.recovery import known_history, recovered
from sweeps.running.driver import Driver, Executor, SearchEnded, SearchOver
from sweeps.running.on_ray import OnRay
from sweeps.search.population import PopulationSearch
from sweeps.search.schedulers import scheduler_for
from sweeps.search.searchers import HandOut, StudySearch
from sweeps.signals import ignored_interrupt
from sweeps.space.assignments import Given, companies
from sweeps.space.generations import Generations
from sweeps.view.progress import SweepView


def run_trials(plan: RunPlan, view: SweepView, executor: Executor | None = None) -> Run:
    """Run all trials that have not ended (or until Ctrl-C), on Ray by default. Returns the run as it is then.

    Raises UsageError if another process is running them.
    """
    executor = executor or OnRay()
    writer, started = RunWriter(plan.folder), time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(view.close)
        left = plan.header.trial_count
        if plan.is_resumed:
            stack.enter_context(sole_driver(writer.folder))
            left -= len(known_history(writer.run).over)
        if left:
            plan = stack.enter_context(executor.ready(plan))
        if plan.is_resumed:
            writer.write_header(plan.header)
        else:
            RunWriter.create(plan.runs, plan.header, plan.split)
            stack.enter_context(sole_driver(writer.folder))
        outcome = _run_what_is_left(plan, writer, view, executor, started)
        with ignored_interrupt():
            view.close()
            if outcome.error and not writer.folder.is_dir():
                raise EnvironmentFailure(f"{outcome.error} and run: {resume_command(writer.folder)}")
            summary = _summary(plan, writer.run, outcome)
            # After an error, writing may fail as well: the disk may be full.
            with contextlib.suppress(OSError) if outcome.error else contextlib.nullcontext():
                writer.write_summary(summary)
    return writer.run


@dataclass(frozen=True)
class Outcome:
    """Why the search ended before all trials had run, unless the user stopped it."""

    error: str | None = None
    limit: str = ""  # the time budget or the target that ended them
    database: str = ""  # why trials are missing from the study's copy


def _run_what_is_left(plan: RunPlan, writer: RunWriter, view: SweepView, executor: Executor, started: float) -> Outcome:
    """Run the trials. Complete records are kept, whatever ends the run."""
    try:
        with Journal(writer.folder) as journal:
            run = writer.run
            history = recovered(run, journal)
            journal.session(len(history.sessions) + 1, started)
            view.recall(list(run.records))
            driver, limit = Driver(plan, writer, view, journal), ""
            driver.copy.add(list(run.records), {n: trial.assignment.point for n, trial in history.trials.items()})
            try:
                if plan.header.trial_count > len(history.over):
                    executor.execute(plan, driver, *_search(plan, history, driver))
            except SearchOver as over:
                driver.record_unfinished()
                limit = str(over)
            finally:
                driver.copy.close()
    except KeyboardInterrupt:
        return Outcome()
    except SearchEnded as error:
        return Outcome(error=str(error))
    except OSError as error:
        return Outcome(error=writer.cannot_write(error))
    return Outcome(limit=limit, database=driver.copy.problem)


def _summary(plan: RunPlan, run: Run, outcome: Outcome) -> RunSummary:
    records, history = run.records, known_history(run)
    worked = history.working_seconds(record.started_at for record in records)
    together = len(companies(history.assignments))
    at_a_time = min(plan.header.concurrency, max(together, 1))
    return RunSummary(
        seconds=history.seconds,
        training_share=sum(record.busy_seconds for record in records) / (worked * at_a_time) if worked > 0 else 0.0,
        interrupted=len(history.over) < plan.header.trial_count and not outcome.limit,
        error=outcome.error,
        limit=outcome.limit,
        database=outcome.database,
    )


def _search(plan: RunPlan, history: History, driver: Driver) -> tuple[Searcher, TrialScheduler, int]:
    """The searcher that chooses the trials, the scheduler that stops them, and how many will be suggested."""
    journal, left = driver.journal, plan.header.trial_count - len(history.over)
    if isinstance(plan.recipes, Given):
        waiting = [given for given in plan.recipes.assignments if given.trial not in history.trials]
        journal.drawn(*waiting)
        handed = HandOut([*(trial.assignment for trial in history.unfinished), *waiting])
        return handed, FIFOScheduler(), len(handed.waiting)
    writer, objectives = driver.writer, plan.recipes.objectives

    def values(trial: int) -> tuple[float, ...] | None:
        record = driver.record(trial)
        return None if record is None else values_of(record, objectives)

    if plan.recipes.scheduler == "pbt":
        generations = Generations.of(plan.header.trial_count, plan.recipes.max_epochs)
        population = PopulationSearch(
            plan.recipes, generations, history, journal, values, lambda trial: writer.trial(trial).drop_state()
        )
        return population, FIFOScheduler(), left
    searcher = StudySearch(plan.recipes, plan.header.trial_count, history, journal, values)
    drawn = plan.recipes
    return searcher, scheduler_for(drawn.scheduler, drawn.max_epochs, history, drawn.spared), left

"""What a run is going to do, checked before any worker starts: a new sweep, or what is left of an old run."""

from dataclasses import dataclass, replace
from pathlib import Path

from digits_core.data import Split, load_digits, split_digits
from digits_core.device import accelerator_count, default_device
from digits_core.environment import processor_count
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.folds import Folds, cut_digits
from digits_core.journal import FILE_NAME, read_journal
from digits_core.ownership import check_free
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Policy, SearchPlan, SweepHeader
from digits_core.store import SweepStore, check_new
from sweeps.assignments import Drawn, Given
from sweeps.config import ResumeConfig, SweepConfig
from sweeps.headers import header_of
from sweeps.progress import counted
from sweeps.space import Space, check_space, default_max_epochs, default_recipe, default_space, point_of
from sweeps.space_file import document_of, space_of


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A checked run: everything that can be wrong was looked at before any worker starts."""

    runs: Path
    header: SweepHeader
    split: Split | Folds
    recipes: Drawn | Given
    line: str  # what is about to be done
    is_resumed: bool = False

    @property
    def folder(self) -> Path:
        """Where the run lies, or will lie."""
        return self.runs / self.header.name


def plan_sweep(config: SweepConfig) -> RunPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; makes the runs folder at most."""
    digits = load_digits(config.dataset)
    check_new(config.runs, config.name)
    device_type = default_device().type
    space_name, space = default_space(device_type, digits.side)
    check_space(space)
    max_epochs = config.max_epochs or default_max_epochs(digits.side)
    base = default_recipe(device_type, digits.side, max_epochs)
    plan = SearchPlan(
        search=config.search,
        scheduler=config.scheduler,
        space=document_of(space),
        base=base,
        first=(yardstick(base, space, config.seed),),
    )
    split, concurrency = split_digits(digits), config.concurrency or default_concurrency()
    return RunPlan(
        runs=config.runs,
        header=header_of(
            digits,
            split,
            name=config.name,
            kind="sweep",
            trial_count=config.trials,
            max_epochs=max_epochs,
            seed=config.seed,
            concurrency=concurrency,
            device=device_type,
            space={name: str(parameter) for name, parameter in space.items()},
            policy=Policy(
                max_failures=config.max_failures,
                trial_timeout_seconds=config.trial_timeout_seconds,
                keep=config.keep,
            ),
            plan=plan,
        ),
        split=split,
        recipes=drawn_from(plan, config.seed),
        line=(
            f"sweep {config.name}: {counted(config.trials, 'trial')} on {config.dataset},"
            f" {concurrency} at a time on {device_type}; the {space_name} space,"
            f" at most {counted(max_epochs, 'epoch')} a trial"
        ),
    )


def yardstick(base: Recipe, space: Space, seed: int) -> Assignment:
    """Trial 0 of every sweep: the default recipe."""
    return Assignment(trial=0, recipe=base.with_overrides({"training.seed": seed}), point=point_of(space, base))


def drawn_from(plan: SearchPlan, seed: int) -> Drawn:
    """A stored plan, ready to draw from."""
    return Drawn(
        base=plan.base,
        space=space_of(plan.space),
        seed=seed,
        search=plan.search,
        scheduler=plan.scheduler,
        first=plan.first,
    )


def plan_resumption(config: ResumeConfig) -> RunPlan:
    """What is left of a run. Raises UsageError or EnvironmentFailure where it cannot go on; writes nothing."""
    store = SweepStore.open(config.runs, config.name)
    header = store.header
    if header.kind == "training" or not (store.folder / FILE_NAME).exists():
        raise UsageError(f"{header.name!r} keeps no journal to go on from: only sweeps and comparisons do")
    check_free(store.folder)
    history = read_journal(store.folder)
    digits = load_digits(header.dataset)
    split = cut_digits(digits, header.fold_count)
    if (digits.checksum, split.split_id) != (header.data_checksum, header.split_id):
        raise EnvironmentFailure(
            f"the data or the split of {header.dataset!r} are not those that {header.name!r} began with;"
            " restore them, or begin a new sweep"
        )
    recipes: Drawn | Given = Given(assignments=tuple(trial.assignment for trial in history.trials.values()))
    trial_count = header.trial_count
    if header.plan is not None:
        recipes, trial_count = drawn_from(header.plan, header.seed), config.trials or trial_count
    elif config.trials is not None:
        raise UsageError(f"{header.name!r} has the runs that it was begun with; --trials is for sweeps")
    if trial_count < len(history.trials):
        raise UsageError(f"--trials must be at least the {len(history.trials)} that were begun, got {trial_count}")
    device, concurrency = default_device().type, config.concurrency or header.concurrency
    left = trial_count - len(history.over)
    return RunPlan(
        runs=config.runs,
        header=replace(header, trial_count=trial_count, concurrency=concurrency, device=device),
        split=split,
        recipes=recipes,
        line=(
            f"going on with {header.name}: {left} of {counted(trial_count, 'trial')} left"
            f" ({len(history.unfinished)} begun), {concurrency} at a time on {device}"
        ),
        is_resumed=True,
    )


def default_concurrency() -> int:
    """One trial a GPU, or a processor where there is none."""
    return accelerator_count() or processor_count()

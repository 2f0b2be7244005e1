"""Plans a new sweep, or the rest of an interrupted run, and checks it before any worker starts."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, Split, split_digits
from digits_core.data.folds import Folds
from digits_core.environment import processor_count
from digits_core.errors import UsageError
from digits_core.recipe import Recipe
from digits_core.records import Policy, RunHeader, RunKind, SearchPlan
from digits_core.runs.journal import History
from digits_core.runs.ownership import check_free
from digits_core.runs.run import Run
from digits_core.runs.writer import check_new
from digits_core.stored import MOST_TRIALS, asked_trials
from digits_core.training.device import accelerator_count, default_device
from digits_core.training.engine import check_fit
from sweeps.plans.config import AUTO, DEFAULT_TRIALS, GpuShare, ResumeConfig, SweepConfig
from sweeps.plans.ending import AS_LONG_AFTERWARDS, LONGER_AFTERWARDS, WHOLE_TIME, Ending
from sweeps.plans.first_trials import check_models, first_trials, fitting, given_recipes
from sweeps.plans.following import CONFIRM
from sweeps.plans.headers import data_of, header_of
from sweeps.plans.recovery import known_history
from sweeps.search.study_copy import BESIDE, NONE, check_storage, without_password
from sweeps.space.assignments import Drawn, Given
from sweeps.space.generations import Generations, with_one_network
from sweeps.space.known_good import default_max_epochs, default_recipe, final_epochs, further_recipes, plain_recipe
from sweeps.space.spaces import check_space, default_space, narrowed, nearest
from sweeps.space.toml_file import document_of, read_space, space_of
from sweeps.words import counted


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A checked run: whatever can be wrong with it was checked before any worker starts."""

    runs: Path
    header: RunHeader
    split: Split | Folds
    recipes: Drawn | Given
    line: str  # tells the user what is about to be done
    ending: Ending = field(default_factory=Ending)
    address: str | None = None  # of a Ray cluster to join
    gpus_per_trial: GpuShare = None
    storage: str = NONE  # of the study's copy, including the password
    is_resumed: bool = False
    concurrency_asked: int | None = None  # None: as many as a cluster has room for

    @property
    def folder(self) -> Path:
        """Where the run is or will be stored."""
        return self.runs / self.header.name


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What a sweep will try: a search and its space, or a list of recipes."""

    plan: SearchPlan | None
    recipes: Drawn | Given
    trial_count: int
    words: str


def plan_sweep(config: SweepConfig) -> RunPlan:
    """Check everything and load the data. Raises UsageError or EnvironmentFailure; writes nothing."""
    digits = load_digits(config.dataset)
    check_new(config.runs, config.name)
    check_storage(config.storage, config.name, is_new=True)
    check_gpus(config)
    split, device_type = split_digits(digits), default_device().type
    base = _base(config, device_type, digits.side)
    asked = (_given if config.configs else _searched)(config, base, device_type, digits, split)
    max_epochs, concurrency = asked.recipes.max_epochs, config.concurrency or default_concurrency(config.gpus_per_trial)
    return RunPlan(
        runs=config.runs,
        header=header_of(
            digits,
            split,
            name=config.name,
            kind=RunKind.SWEEP,
            trial_count=asked.trial_count,
            max_epochs=max_epochs,
            seed=config.seed,
            concurrency=concurrency,
            device=device_type,
            space={name: str(value) for name, value in asked.recipes.space.items()}
            if isinstance(asked.recipes, Drawn)
            else {},
            policy=Policy(
                max_failures=config.max_failures,
                trial_timeout_seconds=config.trial_timeout_seconds,
                keep=config.keep,
                storage=without_password(config.storage),
            ),
            plan=asked.plan,
        ),
        storage=config.storage,
        address=config.address,
        concurrency_asked=config.concurrency,
        gpus_per_trial=config.gpus_per_trial,
        split=split,
        recipes=asked.recipes,
        ending=_ending(config, split, asked.plan),
        line=(
            f"sweep {config.name}: {trials_text(asked.trial_count)} on {config.dataset},"
            f" {_where(config, concurrency, device_type)}; {asked.words},"
            f" at most {counted(max_epochs, 'epoch')} a trial"
        ),
    )


def _base(config: SweepConfig, device_type: str, side: int) -> Recipe:
    """The recipe that the search varies: the default, but a user's own space or optimizer is not mixed with our SGD."""
    epochs = config.max_epochs or default_max_epochs(
        device_type, side, is_confirmed=CONFIRM in config.then and config.configs is None
    )
    tuned = default_recipe(device_type, side, epochs)
    is_own = config.space_file is not None or config.configs is not None
    others_optimizer = config.fixed.get("optimizer.name", tuned.optimizer.name) != tuned.optimizer.name
    return plain_recipe(device_type, side, epochs) if is_own or others_optimizer else tuned


def _searched(config: SweepConfig, base: Recipe, device_type: str, digits: Digits, split: Split) -> TrialPlan:
    """Plan a search. Raises UsageError if something in the space cannot be trained."""
    name, default = default_space(device_type, digits.side)
    words = f"the space of {config.space_file}" if config.space_file else f"the {name} space"
    space = narrowed(read_space(config.space_file) if config.space_file else default, config.fixed)
    check_space(space)
    if config.scheduler == "pbt":
        own = nearest(space, base.with_overrides(config.fixed)).as_overrides()
        space, words = narrowed(space, with_one_network(space, own)), f"{words} with the default network and optimizer"
    base = nearest(space, base.with_overrides(config.fixed))
    check_models(base, space, digits.side, split.train_count)
    known = fitting(further_recipes(device_type, digits.side), config)
    first = first_trials(config, base, known, space)
    for assignment in first:
        check_fit(assignment.recipe, digits.side, split.train_count)
    plan = SearchPlan(
        search=config.search,
        scheduler=config.scheduler_used,
        space=document_of(space),
        base=base,
        first=first,
        objectives=config.objectives,
        spared=1 + len(known),
        final_epochs=None if config.max_epochs else final_epochs(device_type, digits.side),
    )
    return TrialPlan(
        plan=plan,
        recipes=drawn_from(plan, config.seed),
        trial_count=_trial_count(config, len(first), base),
        words=words,
    )


def _given(config: SweepConfig, base: Recipe, device_type: str, digits: Digits, split: Split) -> TrialPlan:
    """Plan a list of recipes. Raises UsageError if one cannot be trained."""
    del device_type
    assert config.configs is not None
    given = tuple(given_recipes(config.configs, base, config.seed))[: config.trials]
    if not given:
        raise UsageError(f"{config.configs} contains no recipes")
    for assignment in given:
        check_fit(assignment.recipe, digits.side, split.train_count)
    return TrialPlan(
        plan=None, recipes=Given(assignments=given), trial_count=len(given), words=f"exactly as in {config.configs}"
    )


def _trial_count(config: SweepConfig, first_count: int, base: Recipe) -> int:
    if config.scheduler == "pbt":
        return Generations.of(config.trials or DEFAULT_TRIALS, base.training.epochs).trial_count
    if config.search == "grid":
        return min(config.trials or first_count, first_count)
    without_a_number = DEFAULT_TRIALS if config.time_budget_seconds is None else MOST_TRIALS
    return config.trials or max(without_a_number, first_count)


def trials_text(trial_count: int) -> str:
    """The number of trials in words, or that only time limits them."""
    asked = asked_trials(trial_count)
    return counted(asked, "trial") if asked else "as many trials as there is time for"


def _ending(config: SweepConfig | ResumeConfig, split: Split | Folds, plan: SearchPlan | None) -> Ending:
    shares = WHOLE_TIME
    if CONFIRM in config.then:
        shares = LONGER_AFTERWARDS if plan is not None and plan.final_epochs else AS_LONG_AFTERWARDS
    pixel_count = split.validation.images.size
    return Ending.of(config.begun_at, config.time_budget_seconds, config.target_accuracy, pixel_count, shares)


def drawn_from(plan: SearchPlan, seed: int) -> Drawn:
    """The recipes of a stored search plan, ready to draw from."""
    return Drawn(
        base=plan.base,
        space=space_of(plan.space),
        seed=seed,
        search=plan.search,
        scheduler=plan.scheduler,
        first=plan.first,
        objectives=plan.objectives,
        spared=plan.spared,
    )


def plan_resumption(config: ResumeConfig) -> RunPlan:
    """Plan the rest of a run. Raises UsageError or EnvironmentFailure if it cannot be resumed; writes nothing."""
    run = Run.open(config.runs, config.name)
    header = run.header
    check_free(run.folder)
    history = known_history(run)
    split = data_of(header, otherwise="started with; restore them, or start a new sweep")
    trial_count = _resumed_trial_count(config, header, history)
    recipes: Drawn | Given = Given(assignments=tuple(history.assignments))
    if header.plan is not None:
        recipes = drawn_from(header.plan, header.seed)
    storage = config.storage or header.policy.storage
    if config.storage is None and storage not in (BESIDE, NONE):
        raise UsageError(
            f"{header.name!r} was started with --storage {storage}; give --storage again, because what a run's folder"
            " says is not enough to contact a database, or leave the copy out with --storage none"
        )
    check_storage(storage, header.name, is_new=False)
    check_gpus(config)
    device, concurrency = default_device().type, config.concurrency or header.concurrency
    left = f"{trial_count - len(history.over)} of {counted(trial_count, 'trial')} left"
    return RunPlan(
        runs=config.runs,
        header=replace(
            header,
            trial_count=trial_count,
            concurrency=concurrency,
            device=device,
            policy=replace(header.policy, storage=without_password(storage)),
        ),
        storage=storage,
        address=config.address,
        concurrency_asked=config.concurrency,
        gpus_per_trial=config.gpus_per_trial,
        split=split,
        recipes=recipes,
        ending=_ending(config, split, header.plan),
        line=(
            f"resuming {header.name}: {left if asked_trials(trial_count) else trials_text(trial_count)}"
            f" ({len(history.unfinished)} started), {_where(config, concurrency, device)}"
        ),
        is_resumed=True,
    )


def _resumed_trial_count(config: ResumeConfig, header: RunHeader, history: History) -> int:
    """The total number of trials. Raises UsageError if it is unclear or impossible."""
    trial_count = config.trials or header.trial_count
    if config.trials is not None and header.plan is None:
        raise UsageError(f"{header.name!r} has a fixed list of runs; leave out --trials, which is for searches")
    if trial_count < len(history.trials):
        raise UsageError(
            f"--trials must be at least {len(history.trials)}, the number already started, got {trial_count}"
        )
    if config.trials is not None and header.plan is not None and header.plan.scheduler == "pbt":
        raise UsageError(
            f"{header.name!r} is a population of {header.trial_count} trials, which cannot be extended; leave out"
            " --trials"
        )
    if header.plan is not None and header.plan.search == "grid":
        trial_count = min(trial_count, len(header.plan.first))
    if not asked_trials(trial_count) and config.time_budget_seconds is None and config.target_accuracy is None:
        raise UsageError(
            f"{header.name!r} has used up its time budget; give it another one (--time-budget) or a number of --trials"
        )
    return trial_count


def _where(config: SweepConfig | ResumeConfig, concurrency: int, device: str) -> str:
    if config.address is None:
        return f"{concurrency} at a time on {device}"
    return f"{config.concurrency or 'as many as fit'} at a time on the cluster at {config.address}"


def check_gpus(config: SweepConfig | ResumeConfig) -> None:
    """Raise UsageError if trials need a GPU that this machine lacks. A cluster's GPUs are counted after joining it."""
    if config.gpus_per_trial == AUTO and config.address is None and default_device().type != "cuda":
        raise UsageError("this machine has no CUDA device to pack: leave out --gpus-per-trial auto, or join a cluster")
    if config.gpus_per_trial is not None and config.address is None and not accelerator_count():
        raise UsageError("this machine has no GPU to share: leave out --gpus-per-trial, or join a cluster (--address)")


def default_concurrency(gpus_per_trial: GpuShare = None) -> int:
    """One trial per GPU; one per processor if there is no GPU, or if `auto` packs trials onto GPUs."""
    return (gpus_per_trial != AUTO and accelerator_count()) or processor_count()

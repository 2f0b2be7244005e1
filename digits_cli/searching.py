"""`digits sweep`, `digits space` and `digits resume`: start a search, print its default space, continue it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import (
    DATASET_HELP,
    INTERRUPTED,
    AsJson,
    Concurrency,
    InPoses,
    Push,
    Runs,
    TakeOver,
    default_name,
    emit,
    errors_in_one_line,
    say,
)
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from sweeps.plans.config import ResumeConfig, SweepConfig
    from sweeps.plans.following import Following
    from sweeps.plans.planning import RunPlan


SpaceFile = Annotated[
    Path | None, typer.Option("--space", help="TOML file with the search space.", show_default="see `digits space`")
]
Fixed = Annotated[
    list[str] | None, typer.Option("--fix", help="Fix a field in all trials, e.g. model.name=lenet. Repeatable.")
]
StartFrom = Annotated[
    list[str] | None, typer.Option(help="Run a named recipe, or the best 5 of a sweep, before sampling. Repeatable.")
]
Configs = Annotated[
    Path | None,
    typer.Option(
        help="Instead of searching, run these recipes exactly as given: a JSON object of recipe fields per line."
    ),
]
Search = Annotated[str, typer.Option(help="Search algorithm: tpe, gp, cmaes, random, grid or nsga2.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Scheduler that stops weak trials early: asha, hyperband, median, pbt (needs at least 9 trials) or none.",
        show_default="asha; none with several objectives",
    ),
]
Objectives = Annotated[
    str,
    typer.Option(
        "--objective", help="What to optimise: nll, or several of nll, accuracy, params and latency, e.g. nll,params."
    ),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        help="Finish within this time, e.g. 10m: search, the steps of --then and the report.", show_default="none"
    ),
]
Target = Annotated[
    str | None,
    typer.Option(help="Stop once a trial reaches this on validation, e.g. accuracy=0.995.", show_default="none"),
]
Then = Annotated[
    str | None,
    typer.Option(
        help="What follows the search: confirm, ensemble or confirm,ensemble. A time budget covers all of it.",
        show_default="nothing",
    ),
]
TrialTimeout = Annotated[
    str | None, typer.Option(help="Fail a trial that takes longer, e.g. 90s, 10m or 2h.", show_default="none")
]
Storage = Annotated[
    str,
    typer.Option(
        help="Database for a copy as an Optuna study: sqlite (in the run's folder), none, or postgresql://USER@HOST/NAME,"
        " with its password in PGPASSWORD or ~/.pgpass, where no list of processes shows it."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(help="Join a Ray cluster: auto, or the head's host:port.", show_default="a local Ray"),
]
GpusPerTrial = Annotated[
    str | None,
    typer.Option(
        help="GPU share per trial, e.g. 0.125; auto measures what each architecture needs.",
        show_default="from --concurrency",
    ),
]
MaxFailures = Annotated[
    int, typer.Option(help="How often a trial resumes from its last epoch after its process was lost.")
]
Keep = Annotated[int, typer.Option(help="How many of the best trials keep their weights.")]


@errors_in_one_line
def sweep(
    trials: Annotated[int | None, typer.Option(help="Number of recipes to try.", show_default="100")] = None,
    dataset: Annotated[
        str, typer.Option(help=DATASET_HELP, autocompletion=completing.dataset_names)
    ] = "sklearn-digits",
    name: Annotated[str | None, typer.Option(help="Name of the sweep.", show_default="data set and time")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    seed: Annotated[int, typer.Option(help="Seed of the search; trial i trains from seed + i.")] = 0,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs of a trial that is not stopped early.",
            show_default="40 for 8x8 images; for 28x28, 10 (5 with --then confirm), or 20 on a CUDA GPU",
        ),
    ] = None,
    concurrency: Concurrency = None,
    search: Search = "tpe",
    scheduler: Scheduler = None,
    objective: Objectives = "nll",
    space: SpaceFile = None,
    fix: Fixed = None,
    start_from: StartFrom = None,
    configs: Configs = None,
    time_budget: TimeBudget = None,
    target: Target = None,
    then: Then = None,
    tta: InPoses = False,
    max_failures: MaxFailures = 2,
    trial_timeout: TrialTimeout = None,
    keep: Keep = 10,
    storage: Storage = "sqlite",
    address: Address = None,
    gpus_per_trial: GpusPerTrial = None,
    push: Push = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the size of the search space and the expected time and disk usage; run nothing."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search for the best recipe.

    Ray Tune runs the trials, Optuna chooses their recipes, and ASHA stops weak ones early. The first trials, a default
    and up to three other known-good recipes, always run to the end. The search covers the architecture and its size,
    optimizer, learning rate, weight decay, schedule, batch size, dropout and augmentation. At the end, the leader on
    validation is scored once on the sealed test set, and a report is written to the run's folder. Missing data is
    downloaded to DIGITS_DATA_DIR (`digits doctor` shows where that is). Ctrl-C keeps everything that has finished;
    `digits resume` continues the sweep, even after a crash.

    With --then confirm,ensemble, the best three recipes (at most two of one architecture) are trained again on three
    fresh seeds each, on 28x28 images for longer than in the search (unless --max-epochs is given). A --time-budget
    decides how many networks that are, and for how many epochs. They are tested instead of the leader and combined into
    an ensemble.

    Examples:

        digits sweep --trials 100

        digits sweep --dataset mnist --time-budget 10m --name first

        digits sweep --dataset mnist --time-budget 15m --then confirm,ensemble --tta

        digits sweep --fix model.name=lenet --search random --scheduler none --dry-run

        digits sweep --space space.toml --start-from lenet --start-from first --target accuracy=0.995

        digits sweep --objective nll,params --trials 50

        digits sweep --trials 20 --max-epochs 5 --json > result.json

    """
    from digits_core.data.datasets import absolute
    from digits_core.judging.objectives import parse_objectives
    from digits_core.recipe import parse_assignment
    from sweeps import for_a_cluster
    from sweeps.plans.config import SweepConfig, parse_gpus_per_trial
    from sweeps.plans.ending import parse_target
    from sweeps.plans.following import parse_then
    from sweeps.words import optional_seconds_of

    # Report bad options before the imports that take seconds.
    config = SweepConfig(
        runs=runs,
        name=name if name is not None else default_name(dataset),
        dataset=absolute(dataset),
        trials=trials,
        seed=seed,
        max_epochs=max_epochs,
        concurrency=concurrency,
        search=search,
        scheduler=scheduler,
        objectives=parse_objectives(objective),
        space_file=space,
        fixed=dict(map(parse_assignment, fix or [])),
        start_from=tuple(start_from or ()),
        configs=configs,
        time_budget_seconds=optional_seconds_of("--time-budget", time_budget),
        target_accuracy=None if target is None else parse_target(target),
        then=parse_then(then),
        tta=tta,
        max_failures=max_failures,
        trial_timeout_seconds=optional_seconds_of("--trial-timeout", trial_timeout),
        keep=keep,
        storage=storage,
        address=address,
        gpus_per_trial=parse_gpus_per_trial(gpus_per_trial),
    )
    if address is not None:
        for_a_cluster()  # before anything imports Ray
    if dry_run:
        _estimate(config, as_json=as_json)
    else:
        _search(config, push, as_json=as_json)


def _search(config: "SweepConfig", push: str | None, *, as_json: bool) -> None:
    from digits_core.remote.along import pushed_along
    from sweeps.plans.following import Following
    from sweeps.plans.planning import plan_sweep
    from sweeps.running.addresses import check_address

    plan = plan_sweep(config)
    check_address(plan.address)
    with pushed_along(plan.folder, push):
        run_search(plan, Following.of(config) if config.then else None, as_json=as_json)


def _estimate(config: "SweepConfig", *, as_json: bool) -> None:
    from digits_cli.printed.sweep import estimate_document, estimate_lines
    from sweeps.plans.planning import plan_sweep
    from sweeps.running.addresses import check_address
    from sweeps.running.estimate import estimate

    plan = plan_sweep(config)
    check_address(plan.address)
    about = estimate(plan)
    emit(estimate_document(plan, about), estimate_lines(plan, about, config.then), as_json=as_json)


def run_search(plan: "RunPlan", following: "Following | None" = None, *, as_json: bool) -> None:
    """Run a planned sweep, do what follows if the search ended as it should, finish the run and print the result."""
    from digits_cli.finishing import finished, ran, run_following
    from digits_cli.printed.sweep import SweepOutcome, sweep_document, sweep_lines

    say(plan.line)
    run = ran(plan)
    if following is not None and SweepOutcome(run=run, report=None).can_go_on:
        run_following(run, following, as_json=as_json)
        return
    with finished(run) as (run, report):
        outcome = SweepOutcome(
            run=run,
            report=report,
            then=following.options if following else (),
        )
        emit(sweep_document(outcome), sweep_lines(outcome), as_json=as_json)
        outcome.raise_if_failed()  # so that it comes before a failure to write the report
    if outcome.summary.interrupted:
        raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def space(
    dataset: Annotated[str, typer.Option(help="Data set; the space depends on its image size.")] = "sklearn-digits",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="a GPU, if there is one")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the default search space as TOML.

    Save it to a file, edit it and pass it to `digits sweep --space FILE`. The default space depends on the image size
    of the data set and on the device.

    Examples:

        digits space > space.toml

        digits space --dataset mnist --device cuda --json

    """
    from digits_core.data.datasets import check_dataset, side_of
    from digits_core.errors import unknown_name
    from digits_core.training.device import DEVICES, default_device
    from sweeps.space.spaces import default_space
    from sweeps.space.toml_file import document_of, toml_of

    check_dataset(dataset)
    if device is not None and device not in DEVICES:  # a device that this machine lacks is fine here
        raise unknown_name("device", device, DEVICES)
    _, chosen = default_space(device or default_device().type, side_of(dataset))
    if as_json:
        emit(document_of(chosen), [], as_json=True)
    else:
        typer.echo(toml_of(chosen), nl=False)


@errors_in_one_line
def resume(
    run: Annotated[str, typer.Argument(help="Name of the run.", autocompletion=completing.run_names)],
    trials: Annotated[
        int | None, typer.Option(help="Number of recipes to try in total.", show_default="as before")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Trials to run at a time.", show_default="as before")] = None,
    time_budget: TimeBudget = None,
    target: Target = None,
    then: Then = None,
    tta: InPoses = False,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Database of the study's copy; to be given again if there was one.",
            show_default="as before",
        ),
    ] = None,
    address: Address = None,
    gpus_per_trial: GpusPerTrial = None,
    push: Push = None,
    take_over: TakeOver = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted run.

    Works after Ctrl-C, a crash, `kill -9`, a full disk or a dead machine, even if the folder was moved. Trials that
    have ended are neither lost nor run again, and the search remembers them. Interrupted trials continue from their
    last finished epoch; at most a second of training is repeated. With --trials, a finished sweep can be extended.

    Examples:

        digits resume first

        digits resume first --trials 200 --time-budget 1h --then confirm,ensemble --json

        digits pull s3://lab/digits/first && digits resume first --push s3://lab/digits --take-over

    """
    from sweeps import for_a_cluster
    from sweeps.plans.config import ResumeConfig, parse_gpus_per_trial
    from sweeps.plans.ending import parse_target
    from sweeps.plans.following import parse_then
    from sweeps.words import optional_seconds_of

    config = ResumeConfig(
        runs=runs,
        name=run,
        trials=trials,
        concurrency=concurrency,
        time_budget_seconds=optional_seconds_of("--time-budget", time_budget),
        target_accuracy=None if target is None else parse_target(target),
        then=parse_then(then),
        tta=tta,
        storage=storage,
        address=address,
        gpus_per_trial=parse_gpus_per_trial(gpus_per_trial),
    )
    if address is not None:
        for_a_cluster()  # before anything imports Ray
    _resume(config, push, take_over=take_over, as_json=as_json)


def _resume(config: "ResumeConfig", push: str | None, *, take_over: bool, as_json: bool) -> None:
    from digits_cli.finishing import run_following
    from digits_cli.training import run_comparisons, run_planned_training
    from digits_core.records import RunKind
    from digits_core.remote.along import pushed_along
    from digits_core.runs.run import Run
    from sweeps.finishing.finish import has_ended
    from sweeps.plans.following import Following, check_can_follow
    from sweeps.plans.planning import plan_resumption
    from sweeps.running.addresses import check_address

    run = Run.open(config.runs, config.name)
    if config.then:
        check_can_follow(run, config.then)
        if config.goes_on_as_before and has_ended(run):
            with pushed_along(run.folder, push, take_over=take_over):
                run_following(run, Following.of(config), as_json=as_json)
            return
    if run.header.kind == RunKind.TRAINING:
        from sweeps.running.training_run import plan_resumed_training

        plan_again = plan_resumed_training(config.runs, config.name)
        run_planned_training(plan_again, push, take_over=take_over, as_json=as_json)
        return
    plan = plan_resumption(config)
    check_address(plan.address)
    with pushed_along(plan.folder, push, take_over=take_over):
        if plan.header.kind == RunKind.COMPARISON:
            run_comparisons([plan], as_json=as_json)
        else:
            run_search(plan, Following.of(config) if config.then else None, as_json=as_json)

"""`digits train`, `digits compare` and `digits replay`: train named recipes, or a stored trial again."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digits_cli import completing
from digits_cli.shell import (
    INTERRUPTED,
    AsJson,
    Assignments,
    Concurrency,
    Folds,
    OwnDataset,
    OwnEpochs,
    Push,
    Runs,
    default_name,
    emit,
    errors_in_one_line,
    say,
)
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from digits_cli.printed.comparison import ComparisonOutcome
    from sweeps.plans.config import ComparisonConfig, ProtocolsConfig
    from sweeps.plans.planning import RunPlan
    from sweeps.running.training_run import TrainingPlan


RecipeNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of recipes; `digits recipes` lists them.",
        show_default=False,
        autocompletion=completing.recipe_names,
    ),
]
Variations = Annotated[
    list[str] | None,
    typer.Option("--vary", help="Compare these values of a field, e.g. training.batch_size=32,64. Repeatable."),
]


@errors_in_one_line
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Name of a recipe (`digits recipes` lists them), or a file such as best_parameters.json.",
            autocompletion=completing.recipe_names,
        ),
    ],
    assignments: Assignments = None,
    dataset: OwnDataset = None,
    epochs: OwnEpochs = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="the recipe's own")] = None,
    seeds: Annotated[
        int, typer.Option(help="Number of seeds, from --seed on; 2 or more make a comparison of one recipe.")
    ] = 1,
    folds: Folds = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="a GPU, if there is one")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default="recipe and time")] = None,
    push: Push = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a named recipe.

    Trains in one process with all processors. The run is stored like a sweep of one trial, so `digits report` and
    `digits ensemble` accept its name. The sealed test set is opened once, at the end. With --folds, every image is
    predicted by a network that did not train on it, the last epoch is used, and the test set stays sealed
    (optdigits-pooled then has none: all its images are in the folds). Ctrl-C keeps the finished epochs.

    With --seeds N, worker processes train the recipe from N seeds, as `digits compare` does. Small networks are trained
    as one, which is faster.

    Examples:

        digits train lenet

        digits train lenet --seeds 6

        digits train lenet --epochs 5 --set optimizer.learning_rate=0.02

        digits train kfold-cnn --folds 4

        digits train improved-net --dataset sklearn-digits --seed 3 --json

        digits train runs/first/best_parameters.json --epochs 20

    """
    from digits_core.data.datasets import absolute
    from digits_core.recipe import Scalar, parse_assignment
    from sweeps.plans.config import TrainingConfig

    overrides: dict[str, Scalar] = dict(map(parse_assignment, assignments or []))
    overrides.update({} if epochs is None else {"training.epochs": epochs})
    overrides.update({} if seed is None else {"training.seed": seed})
    config = TrainingConfig(
        runs=runs,
        name=name if name is not None else default_name(Path(recipe).stem),
        recipe_name=recipe,
        overrides=overrides,
        dataset=dataset and absolute(dataset),
        device=device,
        folds=folds,
    )
    if seeds != 1:
        _compare([config.over_seeds(seeds)], push, as_json=as_json)
        return
    from sweeps.running.training_run import plan_training

    run_planned_training(plan_training(config), push, as_json=as_json)


def run_planned_training(plan: "TrainingPlan", push: str | None, *, take_over: bool = False, as_json: bool) -> None:
    """Train, finish the run and print the result."""
    from digits_cli.finishing import finished
    from digits_cli.printed.training import training_document, training_lines
    from digits_core.remote.along import pushed_along
    from sweeps.running.training_run import run_training
    from sweeps.view.progress import epoch_progress, progress_console

    say(plan.line)
    with pushed_along(plan.folder, push, take_over=take_over):
        with epoch_progress(plan.assignment.recipe.training.epochs, progress_console(sys.stderr)) as on_epoch:
            run = run_training(plan, on_epoch)
        with finished(run) as (run, report):
            emit(training_document(run, report), training_lines(run, report), as_json=as_json)
        if run.record(0).status == "stopped":
            raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def compare(
    recipes: RecipeNames = None,
    seeds: Annotated[int, typer.Option(help="Runs per recipe, with seeds 0, 1, ...")] = 3,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Train recipes as published, each on its own data set; all of them if none are named."
        ),
    ] = False,
    variations: Variations = None,
    assignments: Assignments = None,
    dataset: OwnDataset = None,
    epochs: OwnEpochs = None,
    folds: Folds = None,
    concurrency: Concurrency = None,
    name: Annotated[str | None, typer.Option(help="Name of the comparison.", show_default="the time")] = None,
    push: Push = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Compare recipes on equal footing.

    All recipes get the same images, seeds, threads and device, and the same workers as a sweep. They are ranked by mean
    validation NLL; then the sealed test set is opened once for all runs, and nothing is chosen by it. Differences from
    the leader have intervals that account for chance in both images and seeds. With --published, every recipe is
    trained as its source did and shown beside the published result. Ctrl-C keeps the finished runs.

    Examples:

        digits compare lenet lenet-bn-dropout --seeds 3

        digits compare lenet --vary optimizer.name=sgd,adam --vary training.batch_size=32,128 --epochs 2

        digits compare --published --seeds 1 --json

    """
    from digits_core.data.datasets import absolute
    from digits_core.errors import UsageError
    from digits_core.recipe import Scalar, parse_assignment, parse_variations
    from sweeps.plans.config import ComparisonConfig, ProtocolsConfig

    name = name if name is not None else default_name("comparison")
    names = tuple(recipes or ())
    if published:
        if assignments or variations or (dataset, epochs, folds) != (None, None, None):
            raise UsageError(
                "--published trains recipes as published: leave out --set, --vary, --epochs, --dataset and --folds"
            )
        asked = ProtocolsConfig(runs=runs, name=name, recipe_names=names, seeds=seeds, concurrency=concurrency)
        _compare_published(asked, push, as_json=as_json)
        return
    overrides: dict[str, Scalar] = dict(map(parse_assignment, assignments or []))
    overrides.update({} if epochs is None else {"training.epochs": epochs})
    config = ComparisonConfig(
        runs=runs,
        name=name,
        recipe_names=names,
        overrides=overrides,
        variations=parse_variations(variations or []),
        seeds=seeds,
        dataset=dataset and absolute(dataset),
        folds=folds,
        concurrency=concurrency,
    )
    _compare([config], push, as_json=as_json)


def _compare_published(asked: "ProtocolsConfig", push: str | None, *, as_json: bool) -> None:
    from digits_core.training.device import default_device

    configs, left_out = asked.comparisons(has_gpu=default_device().type != "cpu")
    if left_out:
        say(f"skipped because they need a GPU (name them to train them anyway): {', '.join(left_out)}")
    _compare(configs, push, as_json=as_json)


def _compare(configs: "list[ComparisonConfig]", push: str | None, *, as_json: bool) -> None:
    from digits_core.remote.along import pushed_along
    from sweeps.plans.comparing import plan_comparison

    plans = [plan_comparison(config) for config in configs]
    with contextlib.ExitStack() as stack:
        for plan in plans:
            stack.enter_context(pushed_along(plan.folder, push))
        run_comparisons(plans, as_json=as_json)


def run_comparisons(plans: "list[RunPlan]", *, as_json: bool) -> None:
    """Run the planned comparisons one after another and print their results."""
    from digits_cli.printed.comparison import comparisons_document, comparisons_lines

    outcomes = []
    for plan in plans:
        outcomes.append(_run_comparison(plan))
        if outcomes[-1].summary.interrupted:
            break
    emit(comparisons_document(outcomes), comparisons_lines(outcomes), as_json=as_json)
    for outcome in outcomes:
        outcome.raise_if_failed()
    if outcomes[-1].summary.interrupted:
        raise typer.Exit(INTERRUPTED)


def _run_comparison(plan: "RunPlan") -> "ComparisonOutcome":
    from digits_cli.finishing import finished, ran
    from digits_cli.printed.comparison import ComparisonOutcome

    say(plan.line)
    with finished(ran(plan)) as (run, report):
        return ComparisonOutcome(run=run, report=report)


@errors_in_one_line
def replay(
    run: Annotated[str, typer.Argument(help="Name of a sweep or training run.", autocompletion=completing.run_names)],
    trial: Annotated[int | None, typer.Option(help="Number of the trial.", show_default="the leader")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a stored trial again and compare its predictions.

    Uses the same kind of device and the same number of threads, and counts the validation predictions that differ. On a
    CPU the result is bit-identical unless the processor or a library version has changed; what changed is printed.
    Stores nothing and does not open the sealed test set.

    Examples:

        digits replay first

        digits replay first --trial 3 --json

    """
    from digits_cli.printed.training import replay_document, replay_lines
    from digits_core.runs.run import Run
    from sweeps.running.replay import choose_trial
    from sweeps.running.replay import replay as train_again
    from sweeps.view.progress import epoch_progress, progress_console

    home, record = choose_trial(Run.open(runs, run), trial)
    with epoch_progress(len(record.curve), progress_console(sys.stderr)) as on_epoch:
        outcome = train_again(home, record, on_epoch)
    emit(replay_document(home, outcome), replay_lines(home, outcome), as_json=as_json)

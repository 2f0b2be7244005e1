"""`digits train` and `digits replay`: one recipe, one trial."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shell import INTERRUPTED, AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

if TYPE_CHECKING:
    from sweeps.config import TrainingConfig


@errors_in_one_line
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; `digits recipes` lists them.")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field, e.g. optimizer.learning_rate=0.01. Repeatable.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set.", show_default="the recipe's own")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.", show_default="the recipe's own")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.", show_default="the recipe's own")] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Folds of a cross-validation; 0 for a single split.", show_default="as published"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="the best there is")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default="recipe and time")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a named recipe.

    With all processors, in one process. The run is kept like a sweep of one trial: `digits report` and
    `digits ensemble` take its name. The sealed test part is opened once, at the end. With --folds every image is
    predicted by a network that did not see it, the last epoch counts and the sealed test part stays closed
    (optdigits-pooled has none then: it is one pool). Ctrl-C keeps the epochs that are done.

    Examples:

        digits train lenet

        digits train lenet --epochs 5 --set optimizer.learning_rate=0.02

        digits train kfold-cnn --folds 4

        digits train improved-net --dataset sklearn-digits --seed 3 --json

    """
    from digits_core.recipe import Scalar, parse_assignment
    from sweeps.config import TrainingConfig

    overrides: dict[str, Scalar] = dict(map(parse_assignment, assignments or []))
    overrides.update({} if epochs is None else {"training.epochs": epochs})
    overrides.update({} if seed is None else {"training.seed": seed})
    config = TrainingConfig(
        runs=runs,
        name=name if name is not None else time.strftime(f"{recipe}-%Y%m%d-%H%M%S"),
        recipe_name=recipe,
        overrides=overrides,
        dataset=dataset,
        device=device,
        folds=folds,
    )
    _train(config, as_json=as_json)


def _train(config: "TrainingConfig", *, as_json: bool) -> None:
    from reports.pages import report_after_result
    from sweeps.epochs import epoch_progress
    from sweeps.progress import progress_console
    from sweeps.training import plan_training, run_training
    from sweeps.training_results import training_document, training_lines

    plan = plan_training(config)
    say(plan.line)
    with epoch_progress(plan.recipe.training.epochs, progress_console(sys.stderr)) as on_epoch:
        outcome = run_training(plan, on_epoch)
    with report_after_result(outcome.store) as report:
        emit(training_document(outcome, report), training_lines(outcome, report), as_json=as_json)
    if outcome.record.status == "stopped":
        raise typer.Exit(INTERRUPTED)


@errors_in_one_line
def replay(
    run: Annotated[str, typer.Argument(help="Name of a sweep or training run.")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial.", show_default="the winner")] = None,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Train a stored trial again and count the differences.

    On the same kind of device with the same number of threads. On a CPU the same recipe gives the same bits; where it
    does not, what has changed (processor, versions) is named. Nothing is stored and the sealed test part stays closed.

    Examples:

        digits replay first

        digits replay first --trial 3 --json

    """
    from digits_core.store import SweepStore
    from sweeps.epochs import epoch_progress
    from sweeps.progress import progress_console
    from sweeps.replay import choose_trial
    from sweeps.replay import replay as train_again
    from sweeps.training_results import replay_document, replay_lines

    store = SweepStore.open(runs, run)
    record = choose_trial(store, trial)
    with epoch_progress(len(record.curve), progress_console(sys.stderr)) as on_epoch:
        outcome = train_again(store, record, on_epoch)
    emit(replay_document(store, outcome), replay_lines(store, outcome), as_json=as_json)

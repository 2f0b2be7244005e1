"""Made-up records."""

from digits_core.metrics import Score
from digits_core.recipe import Recipe
from digits_core.records import EpochRow, RunRecord, Status


def record(
    trial: int,
    nlls: tuple[float, ...] = (0.5,),
    status: Status = "finished",
    span: tuple[float, float] = (0.0, 1.0),
    recipe: Recipe = Recipe(),  # noqa: B008 - it is frozen
) -> RunRecord:
    best = min(range(len(nlls)), key=lambda place: nlls[place]) + 1 if nlls else None
    figures = Score(n=20, error_count=2, accuracy=0.9, nll=min(nlls), brier=0.1, ece=0.1) if nlls else None
    return RunRecord(
        trial=trial, status=status, recipe=recipe, started_at=span[0], ended_at=span[1], best_epoch=best,
        validation=figures, curve=tuple(epoch_row(place, nll) for place, nll in enumerate(nlls, start=1)),
    )  # fmt: skip


def epoch_row(epoch: int, nll: float, seconds: float = 2.0) -> EpochRow:
    return EpochRow(
        epoch=epoch, train_loss=nll, train_error_count=1, train_n=10, validation_nll=nll, validation_error_count=2,
        validation_n=20, seconds=seconds, busy_seconds=seconds,
    )  # fmt: skip

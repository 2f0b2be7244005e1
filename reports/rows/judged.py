"""Models that were trained elsewhere, judged beside a run's -> what their page shows. Plain values: no HTML."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import Digits
from digits_core.outside.judged import Judged, JudgedRow
from reports.rows.glance import Axis
from reports.rows.verdict import mean_errors_text
from reports.rows.views import CalibrationBin, View, calibration_bins, view_of

MOST_MODELS = 12  # with their confusion and mistakes: those handed in first
MOST_PICTURES = 16


@dataclass(frozen=True, kw_only=True)
class MissedPicture:
    """An image that a model gets wrong; `pixels` is None if the data set is not known here."""

    name: str
    pixels: npt.NDArray[np.uint8] | None
    label: int
    predicted: int
    p_predicted: float | None  # None if only digits were handed in


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """One model in detail. A model with several seeds is shown with its first."""

    row: JudgedRow
    view: View
    bins: tuple[CalibrationBin, ...]
    missed: tuple[MissedPicture, ...]


@dataclass(frozen=True, kw_only=True)
class JudgedPage:
    """Everything on the page of `digits judge`."""

    judged: Judged
    against: str
    openings: int
    axis: Axis
    models: tuple[JudgedModel, ...]

    @property
    def headline(self) -> str:
        """Who leads, and whether the others are significantly different."""
        first, *others = self.judged.rows
        answers = first.entry.answers
        text = f"{first.entry.name} leads with {mean_errors_text(answers)} of {answers.n:,} wrong."
        tied = [row.entry.name for row in others if row.to_leader and row.to_leader.tied]
        if not others:
            return text
        if not tied:
            return f"{text} {'The other differs' if len(others) == 1 else 'All others differ'} significantly."
        few = ", ".join(tied[:4]) + (", ..." if len(tied) > 4 else "")
        return f"{text} Statistically tied with it: {few} ({len(tied)} of {len(others)})."


def judged_page(judged: Judged, against: str, openings: int, digits: Digits | None) -> JudgedPage:
    """Collect the page. digits: the data set, for the pictures, if it is known."""
    shown = sorted(judged.rows, key=lambda row: (row.entry.origin != "handed in", row.rank))[:MOST_MODELS]
    return JudgedPage(
        judged=judged,
        against=against,
        openings=openings,
        axis=Axis.over([row.entry.answers.interval for row in judged.rows]),
        models=tuple(_model(row, judged, digits) for row in sorted(shown, key=lambda row: row.rank)),
    )


def _model(row: JudgedRow, judged: Judged, digits: Digits | None) -> JudgedModel:
    entry, images = row.entry, judged.images
    said = entry.probabilities
    indices = images.indices if images.indices is not None else np.arange(len(images.labels))
    view = view_of(
        f"model-{row.rank}",
        entry.name,
        images.part,
        images.labels,
        np.eye(10)[entry.predicted] if said is None else said,
        indices,
        known=entry.answers.scores[0],
    )
    return JudgedModel(
        row=row,
        view=view,
        bins=() if said is None else calibration_bins(images.labels, said),
        missed=tuple(_missed(view, place, digits) for place in range(min(MOST_PICTURES, len(view.mistakes)))),
    )


def _missed(view: View, place: int, digits: Digits | None) -> MissedPicture:
    mistakes = view.mistakes
    index, likeliest = int(mistakes.images[place]), float(mistakes.p_likeliest[place, 0])
    return MissedPicture(
        name=digits.published_name(index) if digits else f"image {index}",
        pixels=digits.images[index] if digits else None,
        label=int(mistakes.labels[place]),
        predicted=int(mistakes.likeliest[place, 0]),
        p_predicted=likeliest if np.isfinite(view.result.score.nll) else None,
    )

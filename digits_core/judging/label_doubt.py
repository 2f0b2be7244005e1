"""Lists images whose label may be wrong, for people to look through; never relabels. numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.data.datasets import contested_images
from digits_core.errors import UsageError, unknown_name
from digits_core.judging.candidates import Candidate
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.run import Run

FEW_DRAWS = 2  # ties do not depend on the bootstrap
PARTS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """An image whose mean prediction is another digit, or whose label confident learning doubts."""

    index: int  # the image's number in the data set
    label: int
    suggested: int  # the digit with the highest mean probability
    self_confidence: float  # mean probability of the label; the lower, the more doubtful
    missed_by: int  # the number of models that get it wrong
    confident: bool  # whether confident learning counts it as another digit
    contested: bool  # whether its label is disputed in the literature


@dataclass(frozen=True, kw_only=True)
class Review:
    """The doubtful images of the validation or test set."""

    part: str
    n: int
    model_count: int
    doubts: tuple[Doubt, ...]  # most doubtful first
    contested_n: int  # images of the set whose label is disputed
    error_count: int  # of the best model
    uncontested_error_count: int  # of the best model, on the images whose label nobody disputes


def find_doubts(run: Run, part: str = "validation", top: int = 10) -> Review:
    """Review the set with the models of the tie group, with all their seeds; at most `top` models.

    Validation images are out of sample for them: they chose the models, but did not train them. Raises UsageError if
    none of the models has predictions for the set.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    tied = [row.candidate for row in leaderboard(run, draws=FEW_DRAWS).tie]
    asked = [model for one in tied for model in _models_of(one, run, part)][:top]
    if not asked:
        raise UsageError(f"{run.header.name!r}: the sealed test set has not been opened for any of its best models")
    if part == "validation":
        labels, indices = run.validation_labels, run.validation_indices
        said = [home.validation_probabilities(trial) for home, trial in asked]
    else:
        home, _ = asked[0]
        labels, indices = home.test_labels, home.test_indices
        said = [home.test_probabilities(trial) for home, trial in asked]
    return review(part, labels, indices, said, contested_images(run.header.dataset))


def _models_of(one: Candidate, run: Run, part: str) -> list[tuple[Run, int]]:
    """Where a candidate's predictions for the set are: its runs', or the sweep's own trial's if only that has some."""
    found = [
        (one.home, model.trial) for model in one.runs if part == "validation" or one.home.has_opened_test(model.trial)
    ]
    return found or ([(run, one.record.trial)] if run.has_opened_test(one.record.trial) else [])


def review(
    part: str,
    labels: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    said: Sequence[npt.NDArray[np.floating]],
    contested: Sequence[int],
) -> Review:
    """The doubtful images. labels, indices: (N,); said: one (N, C) array of probabilities per model, best first."""
    probabilities = np.stack(said)
    mean, missed = probabilities.mean(axis=0), (probabilities.argmax(axis=2) != labels).sum(axis=0)
    confident, disputed = confidently_another(labels, mean), np.isin(indices, np.array(contested, dtype=np.int64))
    own = mean[np.arange(len(labels)), labels]
    listed = np.flatnonzero(confident | (mean.argmax(axis=1) != labels))
    wrong = probabilities[0].argmax(axis=1) != labels
    return Review(
        part=part,
        n=len(labels),
        model_count=len(probabilities),
        doubts=tuple(
            Doubt(
                index=int(indices[place]),
                label=int(labels[place]),
                suggested=int(mean[place].argmax()),
                self_confidence=float(own[place]),
                missed_by=int(missed[place]),
                confident=bool(confident[place]),
                contested=bool(disputed[place]),
            )
            for place in listed[own[listed].argsort(kind="stable")]
        ),
        contested_n=int(disputed.sum()),
        error_count=int(wrong.sum()),
        uncontested_error_count=int((wrong & ~disputed).sum()),
    )


def confidently_another(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]
) -> npt.NDArray[np.bool_]:
    """(N,): whether confident learning counts an image as a different digit from its label.

    A digit is possible for an image if its probability reaches its mean over the images with that label; the most
    probable of the possible digits counts (Northcutt, Jiang and Chuang 2021, JAIR 70, sec. 3.1). Predictions must be
    out of sample. A digit without labels is never possible.
    """
    class_count = probabilities.shape[1]
    threshold = np.full(class_count, np.inf)
    for digit in range(class_count):
        of_digit = labels == digit
        if of_digit.any():
            threshold[digit] = probabilities[of_digit, digit].mean()
    candidates = np.where(probabilities >= threshold, probabilities, -1.0)
    counted = candidates.argmax(axis=1)
    another: npt.NDArray[np.bool_] = (candidates.max(axis=1) >= 0) & (counted != labels)
    return another

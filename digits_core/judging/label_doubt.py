"""Images whose label may be wrong: a list to look through, never a relabelling. Arrays in, rows out; numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.data.datasets import contested_images
from digits_core.errors import UsageError, unknown_name
from digits_core.judging.candidates import Candidate
from digits_core.judging.leaderboard import leaderboard
from digits_core.runs.store import SweepStore

FEW_DRAWS = 2  # the bootstrap has no say in who is tied
PARTS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One image that the models together read as another digit, or whose label confident learning doubts."""

    index: int  # the image's number in the data set
    label: int
    suggested: int  # what the models say in the mean
    self_confidence: float  # mean probability of the label: the lower, the more doubtful
    missed_by: int  # models
    confident: bool  # confident learning counts it as another digit
    contested: bool  # its label is disputed in print


@dataclass(frozen=True, kw_only=True)
class Review:
    """What there is to look through of one part of the data."""

    part: str
    n: int
    model_count: int
    doubts: tuple[Doubt, ...]  # most doubtful first
    contested_n: int  # of the part's images
    error_count: int  # of the best model
    uncontested_error_count: int  # of the best model, on the images whose label nobody disputes


def find_doubts(store: SweepStore, part: str = "validation", top: int = 10) -> Review:
    """Ask the models that cannot be told from the leader, on all their seeds, at most `top` of them.

    On validation they are out of sample: they were chosen by these images, but did not train on them. Raises UsageError
    where none of them has predictions for the part.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    if top < 1:
        raise UsageError(f"--top must be at least 1, got {top}")
    confirmed = store.confirmation()
    tied = [row.candidate for row in leaderboard(store, draws=FEW_DRAWS).tie]
    asked = [run for one in tied for run in _runs_of(one, store, confirmed, part)][:top]
    if not asked:
        raise UsageError(f"{store.header.name!r}: the sealed test part was not opened yet for any of its best models")
    if part == "validation":
        labels, indices = store.validation_labels(), store.validation_indices()
        said = [run.validation_probabilities(trial) for run, trial in asked]
    else:
        first = asked[0][0]
        labels, indices = first.test_labels(), first.test_indices()
        said = [run.opened_test_probabilities(trial) for run, trial in asked]
    return review(part, labels, indices, said, contested_images(store.header.dataset))


def _runs_of(
    one: Candidate, store: SweepStore, confirmed: SweepStore | None, part: str
) -> list[tuple[SweepStore, int]]:
    """Where a recipe's predictions for the part lie: in what confirms it, else in the run itself."""
    runs = [(confirmed, run.trial) for run in one.runs] if one.confirmed and confirmed else []
    found = [
        (where, trial)
        for where, trial in runs or [(store, run.trial) for run in one.runs]
        if part == "validation" or where.has_opened_test(trial)
    ]
    return found or ([(store, one.record.trial)] if store.has_opened_test(one.record.trial) else [])


def review(
    part: str,
    labels: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    said: Sequence[npt.NDArray[np.floating]],
    contested: Sequence[int],
) -> Review:
    """labels, indices: (N,); said: a (N, C) array for every model, the best first."""
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
    """(N,): whether confident learning counts an image as another digit than its label says.

    A digit is a candidate for an image where its probability reaches the mean that it has over the images of that
    label; the most probable candidate counts (Northcutt, Jiang and Chuang 2021, JAIR 70, sec. 3.1). Predictions must
    be out of sample. A digit that no label names is no candidate.
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

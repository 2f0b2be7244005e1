"""One ranking of models that were trained elsewhere and, beside them, a run's best: same images, tests, corrections.

Ranked by NLL or, if a model comes without probabilities, by error rate. On validation images a greedy
ensemble of the networks with probabilities is ranked as well, scored on images that did not choose its weights.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError
from digits_core.judging.answers import Answers, Probabilities
from digits_core.judging.ensemble import cross_fitted, fit_greedy, greedy_weights
from digits_core.judging.leaderboard import Leaderboard
from digits_core.judging.paired import FIGURES, Figure, ToLeader, by_image, compared, detectable
from digits_core.judging.resampling import DRAWS, Selected, selection_corrected
from digits_core.metrics import Score
from digits_core.outside.images import SEALED, Images, Labels, in_order
from digits_core.outside.predictions import HandedIn
from digits_core.runs.ensemble_records import share_text
from digits_core.runs.run import Run

Origin = Literal["handed in", "run", "ensemble"]
SEED_IN_NAME = re.compile(r"(.+?)[-_. ]+seed[-_. ]?(\d+)", re.IGNORECASE)
FEWEST_TO_FIT = 100  # images: greedy weights are fitted on folds of them


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model, with all of its seeds."""

    name: str
    origin: Origin
    answers: Answers
    predicted: npt.NDArray[np.int64]  # (N,), of its first seed
    probabilities: Probabilities | None  # (N, 10), of its first seed; None if only digits were handed in
    seeds: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """One line of the ranking."""

    rank: int
    ranks: tuple[int, int]  # 95 % interval, from the bootstrap
    entry: Entry
    to_leader: ToLeader | None  # None for the leader


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The ranking, and what it was made on."""

    images: Images
    ranked_by: Figure
    rows: tuple[JudgedRow, ...]
    selected: Selected | None  # what the best of the single networks handed in is worth, if there are several
    selected_name: str
    picked_from: int
    detectable: float | None  # smallest difference in accuracy between the first two that this many images can show


def entries_of(handed: Sequence[HandedIn], images: Images) -> list[Entry]:
    """The models that were handed in, each with its seeds, in their order. Raises UsageError if they do not fit."""
    groups: dict[str, dict[str, HandedIn]] = {}
    for one in map(_with_seed_of_its_name, handed):
        seeds = groups.setdefault(one.model, {})
        if one.seed in seeds:
            raise UsageError(
                f"{one.source} and {seeds[one.seed].source} both hold {one.name}; say which is which: by other file"
                " names, such as NAME-seed1, or columns model and seed"
            )
        seeds[one.seed] = in_order(one, images)
    return [
        _entry(name, [seeds[seed] for seed in sorted(seeds, key=_as_number)], images.labels)
        for name, seeds in groups.items()
    ]


def _as_number(seed: str) -> tuple[int, str]:
    return len(seed), seed  # 2 before 10


def _with_seed_of_its_name(one: HandedIn) -> HandedIn:
    """`cnn-seed3.npz` is model cnn from seed 3, unless the file itself says otherwise."""
    match = SEED_IN_NAME.fullmatch(one.model)
    return replace(one, model=match.group(1), seed=match.group(2)) if match and not one.seed else one


def _entry(name: str, seeds: Sequence[HandedIn], labels: Labels) -> Entry:
    first = seeds[0]
    with_probabilities = [one.probabilities for one in seeds if one.probabilities is not None]
    if with_probabilities and len(with_probabilities) < len(seeds):
        raise UsageError(f"{name} has probabilities from some seeds and digits from others; hand in one kind")
    named = tuple(one.seed for one in seeds if one.seed)
    if first.probabilities is not None:
        return _with_probabilities(
            name, "handed in", Answers.of(labels, with_probabilities), first.probabilities, seeds=named
        )
    return Entry(
        name=name,
        origin="handed in",
        answers=digits_only(labels, seeds),
        predicted=first.predicted,
        probabilities=None,
        seeds=named,
    )


def digits_only(labels: Labels, seeds: Sequence[HandedIn]) -> Answers:
    """What can be said of predicted digits: no NLL, no calibration."""
    wrong = np.stack([one.predicted != labels for one in seeds])
    nothing = float("nan")
    scores = tuple(
        Score(
            n=len(labels),
            error_count=int(row.sum()),
            accuracy=1 - int(row.sum()) / len(labels),
            nll=nothing,
            brier=nothing,
            ece=nothing,
        )
        for row in wrong
    )
    return Answers(scores=scores, wrong=wrong, nll=np.full(wrong.shape, np.nan, np.float32))


def entries_of_run(run: Run, board: Leaderboard, top: int, *, on_test: bool) -> list[Entry]:
    """The run's first `top` candidates and its ensemble, as far as the sealed test set was opened for them."""
    found = []
    for row in board.rows[:top]:
        one = row.candidate
        answers = one.test if on_test else one.validation
        if answers is not None:
            home, first = one.home, one.runs[0].trial
            said = home.test_probabilities(first) if on_test else home.validation_probabilities(first)
            name, seeds = f"{run.name}/{one.record.label or one.trial}", tuple(map(str, one.seeds))
            found.append(_with_probabilities(name, "run", answers, said, seeds=seeds))
    record = run.ensemble
    if record is not None:
        said = run.ensemble_test_probabilities if on_test else run.ensemble_validation_probabilities
        answers = Answers.of(run.test_labels if on_test else run.validation_labels, [said])
        detail = f"{record.method} of {len(record.chosen.weights)}"
        found.append(_with_probabilities(f"{run.name}/ensemble", "ensemble", answers, said, detail=detail))
    return found


def _with_probabilities(
    name: str, origin: Origin, answers: Answers, said: Probabilities, *, seeds: tuple[str, ...] = (), detail: str = ""
) -> Entry:
    predicted = said.argmax(axis=1)
    return Entry(
        name=name, origin=origin, answers=answers, predicted=predicted, probabilities=said, seeds=seeds, detail=detail
    )


def together(entries: Sequence[Entry], images: Images) -> Entry | None:
    """The ensemble of all single models with probabilities, theirs and ours; None for fewer than two.

    Only on images that models may be chosen by, never on the sealed test set.
    """
    members = [one for one in entries if one.probabilities is not None and one.origin != "ensemble"]
    few = len(members) < 2 or len(images.labels) < FEWEST_TO_FIT or min(np.bincount(images.labels, minlength=10)) < 2
    if few or images.part == SEALED or not any(one.origin == "handed in" for one in members):
        return None
    said = np.stack([np.asarray(one.probabilities, np.float32) for one in members])
    honest = cross_fitted(images.labels, said, fit_greedy).astype(np.float32)
    weights = greedy_weights(images.labels, said)
    shares = ", ".join(
        f"{one.name} ({share_text(float(weight))})" for one, weight in zip(members, weights, strict=True) if weight > 0
    )
    answers = Answers.of(images.labels, [honest])
    return _with_probabilities("greedy ensemble", "ensemble", answers, honest, detail=shares)


def judged(entries: Sequence[Entry], images: Images, draws: int = DRAWS) -> Judged:
    """Rank the models and test each against the first. Raises UsageError if there are none."""
    if not entries:
        raise UsageError("there is nothing to judge; name at least one file with predictions")
    by: Figure = "nll" if all(one.probabilities is not None for one in entries) else "error_rate"

    def order(one: Entry) -> tuple[float, str]:
        return (one.answers.mean_nll if by == "nll" else 1 - one.answers.accuracy.mean), one.name

    found = sorted(entries, key=order)
    answers = [one.answers for one in found]
    tests = compared(answers, draws, by=by)
    second = tests[1].to_leader if len(tests) > 1 else None
    single = [one for one in found if one.origin == "handed in" and len(one.answers.scores) == 1]
    selected = _selected(single, by, draws) if len(single) > 1 and len(images.labels) > 1 else None
    return Judged(
        images=images,
        ranked_by=by,
        rows=tuple(
            JudgedRow(rank=rank, ranks=test.ranks, entry=entry, to_leader=test.to_leader)
            for rank, (entry, test) in enumerate(zip(found, tests, strict=True), start=1)
        ),
        selected=selected,
        selected_name=single[selected.picked].name if selected else "",
        picked_from=len(single),
        detectable=detectable(answers[0], answers[1], second) if second else None,
    )


def _selected(single: Sequence[Entry], by: Figure, draws: int) -> Selected:
    figures = {figure: np.stack([by_image(one.answers, figure)[0] for one in single]) for figure in FIGURES}
    return selection_corrected(figures[by], figures["error_rate"], draws)

"""All views of a run: the leader's, the ensemble's and each trial's; and how many models miss an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.data.datasets import contested_images
from digits_core.data.digits import Digits
from digits_core.judging.candidates import Candidate
from digits_core.records import RunRecord
from digits_core.runs.durable import unusable
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.run import Run
from reports.rows.views import MOST_MISTAKES, Part, Result, View, view_of

DETAILED_TRIALS = 100  # the best; for the others the page has only the confusion matrix, not each mistake


@dataclass(frozen=True, kw_only=True)
class Missed:
    """How many of the models that predicted an image get it wrong."""

    by: int
    of: int


@dataclass(frozen=True, kw_only=True)
class MissedImage:
    """An image that some model on the page gets wrong."""

    index: int  # its number in the data set
    name: str  # its published name or number
    label: int
    missed: Missed
    contested: bool  # its label is disputed in the literature


@dataclass(frozen=True, kw_only=True)
class WorstImage:
    """A mistake as the page shows it."""

    picture: MissedImage
    p_true: float
    likeliest: tuple[tuple[int, float], ...]  # digits with their probabilities, the predicted one first


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The predictions of a run's models. `featured`: the leader's view and, if there is an ensemble, its view."""

    featured: tuple[View, ...]
    trials: tuple[View, ...]  # on validation, best trial first; then on the test set where it was opened
    pictures: tuple[MissedImage, ...]  # those of the featured views first
    rescued: tuple[MissedImage, ...] = ()  # test images that only the ensemble gets right
    broken: tuple[MissedImage, ...] = ()  # test images that only the best single model gets right

    @cached_property
    def _by_index(self) -> dict[int, MissedImage]:
        return {picture.index: picture for picture in self.pictures}

    def name_of(self, index: int) -> str:
        """An image's name; empty if no model on the page gets it wrong."""
        picture = self._by_index.get(index)
        return picture.name if picture else ""

    def worst(self, view: View, count: int) -> list["WorstImage"]:
        """The first `count` mistakes of a view."""
        mistakes = view.mistakes
        return [
            WorstImage(
                picture=self._by_index[int(mistakes.images[place])],
                p_true=float(mistakes.p_true[place]),
                likeliest=tuple(
                    zip(mistakes.likeliest[place].tolist(), mistakes.p_likeliest[place].tolist(), strict=True)
                ),
            )
            for place in range(min(count, len(mistakes)))
        ]

    @property
    def test_results(self) -> dict[int, Result]:
        """By trial, for those that the sealed test set was opened for."""
        return {
            view.trial: view.result for view in self.trials if view.trial is not None and view.part == "sealed test"
        }

    @property
    def views(self) -> tuple[View, ...]:
        """All views, the featured ones first."""
        return (*self.featured, *self.trials)


def answered(run: Run, leader: Candidate, ensemble: EnsembleRecord | None, digits: Digits | None) -> Answered:
    """Read the stored predictions of all trials that count. digits: the data set, for image names, if available."""
    ranked = run.ranked
    featured = [_leader_view(leader)]
    if ensemble:
        featured.append(_ensemble_view(run, ensemble))
    tally = _Tally()
    own_part: Part = "out of fold" if run.header.fold_count else "validation"
    if leader.confirmed:
        _count_confirmed(leader.home, own_part, tally)
    trials = _validation_views(run, ranked, own_part, tally) + _test_views(run, ranked, tally)
    labels: dict[int, int] = {}
    for view in featured:
        labels.update(_labels(view))
    rescued, broken = _apart(run, ensemble, labels)
    if digits is not None and max((*tally.part_of, *labels), default=0) >= len(digits.images):
        raise unusable(run.folder / "validation_indices.npy", "it names images that the data set does not have")
    for view in trials:
        labels.update(_labels(view))
    contested = contested_images(run.header.dataset) if digits else ()
    pictures = {picture.index: picture for picture in _pictures(labels, tally, digits, contested)}
    return Answered(
        featured=tuple(featured),
        trials=tuple(trials),
        pictures=tuple(pictures.values()),
        rescued=tuple(pictures[index] for index in rescued),
        broken=tuple(pictures[index] for index in broken),
    )


def _labels(view: View) -> Iterator[tuple[int, int]]:
    return zip(view.mistakes.images.tolist(), view.mistakes.labels.tolist(), strict=True)


def _apart(run: Run, ensemble: EnsembleRecord | None, labels: dict[int, int]) -> tuple[list[int], list[int]]:
    """Test images that only the ensemble, and that only the best single model, gets right; adds them to `labels`."""
    if ensemble is None or ensemble.against_single is None:
        return [], []
    places = [list(group) for group in (ensemble.against_single.rescued, ensemble.against_single.broken)]
    indices, truth = run.test_indices, run.test_labels
    if not all(0 <= place < len(indices) for group in places for place in group):
        raise unusable(run.folder / "ensemble.json", "it names images that the test set does not have")
    rescued, broken = (indices[group].tolist() for group in places)
    labels.update(zip(rescued + broken, truth[places[0] + places[1]].tolist(), strict=True))
    return rescued, broken


class _Tally:
    """Counts for each image how many models predicted it and how many of them were wrong."""

    def __init__(self) -> None:
        self.missed: dict[int, int] = {}
        self.asked: dict[Part, int] = {}
        self.part_of: dict[int, Part] = {}

    def add(self, part: Part, indices: npt.NDArray[np.int64], wrong: npt.NDArray[np.bool_]) -> None:
        if part not in self.asked:
            self.part_of.update(dict.fromkeys(indices.tolist(), part))
        self.asked[part] = self.asked.get(part, 0) + 1
        for index in indices[wrong].tolist():
            self.missed[index] = self.missed.get(index, 0) + 1

    def of(self, index: int) -> Missed:
        part = self.part_of.get(index)
        return Missed(by=self.missed.get(index, 0), of=self.asked[part] if part else 0)


def _validation_views(run: Run, ranked: Sequence[RunRecord], part: Part, tally: _Tally) -> list[View]:
    labels, indices = run.validation_labels, run.validation_indices
    views = []
    for place, record in enumerate(ranked):
        said = run.validation_probabilities(record.trial)
        tally.add(part, indices, said.argmax(axis=1) != labels)
        limit = MOST_MISTAKES if place < DETAILED_TRIALS else 0
        key, title = f"trial-{record.trial}", trial_title(record)
        try:
            view = view_of(
                key,
                title,
                part,
                labels,
                said,
                indices,
                trial=record.trial,
                most_mistakes=limit,
                known=record.validation,
            )
        except ValueError as error:
            raise unusable(run.trial(record.trial).folder / "record.json", error) from error
        views.append(view)
    return views


def _test_views(run: Run, ranked: Sequence[RunRecord], tally: _Tally) -> list[View]:
    opened = [record for record in ranked if run.has_opened_test(record.trial)]
    if not opened:
        return []
    labels, indices = run.test_labels, run.test_indices
    views = []
    for record in opened:
        said = run.test_probabilities(record.trial)
        tally.add("sealed test", indices, said.argmax(axis=1) != labels)
        key, title = f"trial-{record.trial}-test", trial_title(record)
        views.append(view_of(key, title, "sealed test", labels, said, indices, trial=record.trial))
    return views


def _count_confirmed(confirmed: Run, part: Part, tally: _Tally) -> None:
    """Count the runs on fresh seeds as well: they predicted the same images."""
    for record in confirmed.ranked:
        wrong = confirmed.validation_probabilities(record.trial).argmax(axis=1) != confirmed.validation_labels
        tally.add(part, confirmed.validation_indices, wrong)
        if confirmed.has_opened_test(record.trial):
            wrong = confirmed.test_probabilities(record.trial).argmax(axis=1) != confirmed.test_labels
            tally.add("sealed test", confirmed.test_indices, wrong)


def trial_title(record: RunRecord) -> str:
    """A trial's title: its number, after its label if it has one."""
    return f"{record.label} (trial {record.trial})" if record.label else f"trial {record.trial}"


def _leader_view(leader: Candidate) -> View:
    """The first of the leader's runs: the network that `digits predict RUN` uses."""
    home, record = leader.home, leader.runs[0]
    title = leader.record.label or f"Leader (trial {leader.trial})"
    if len(leader.runs) > 1:
        title += f", first of {len(leader.runs)}{' fresh' if leader.confirmed else ''} seeds"
    if home.has_opened_test(record.trial):
        said = home.test_probabilities(record.trial)
        return view_of("leader", title, "sealed test", home.test_labels, said, home.test_indices, trial=leader.trial)
    part: Part = "out of fold" if home.header.fold_count else "validation"
    said = home.validation_probabilities(record.trial)
    return view_of("leader", title, part, home.validation_labels, said, home.validation_indices, trial=leader.trial)


def _ensemble_view(run: Run, ensemble: EnsembleRecord) -> View:
    calibrated = ", calibrated" if ensemble.calibrated else ""
    posed = ", with test-time augmentation" if ensemble.in_poses else ""
    title = f"Ensemble ({ensemble.method} vote of {len(ensemble.chosen.weights)}{calibrated}{posed})"
    said = run.ensemble_test_probabilities
    return view_of("ensemble", title, "sealed test", run.test_labels, said, run.test_indices)


def _pictures(
    labels: dict[int, int], tally: _Tally, digits: Digits | None, contested: Sequence[int]
) -> Iterator[MissedImage]:
    disputed = frozenset(contested)
    for index, label in labels.items():
        yield MissedImage(
            index=index,
            name=digits.published_name(index) if digits else f"{index} of the whole data set",
            label=label,
            missed=tally.of(index),
            contested=index in disputed,
        )

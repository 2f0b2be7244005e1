"""A stored network, or an ensemble exactly as it was combined, that predicts images which no run has seen."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.poses import most_poses
from digits_core.inference.stored_model import stored_model, stored_precision
from digits_core.judging.candidates import leader
from digits_core.judging.ensemble import Stack, combine, fit_stack, majority, scaled
from digits_core.records import RunHeader, RunRecord
from digits_core.runs.ensemble_records import EnsembleRecord
from digits_core.runs.run import REFITTED, Run, confirmation_name, runs_in
from digits_core.training.device import default_device
from digits_core.training.evaluate import as_tensor, predict

ENSEMBLE = "ensemble"
INNER_RUNS = (confirmation_name(0), REFITTED)

Combined = npt.NDArray[np.float64]  # (N, 10)


@dataclass(frozen=True, kw_only=True)
class Combination:
    """How the predictions of M members become one."""

    weights: npt.NDArray[np.float64]  # (M,), which sum to one; for a stack, for display only
    by_vote: bool = False
    stack: Stack | None = None
    temperature: float = 1.0

    def __call__(self, said: npt.NDArray[np.float32]) -> Combined:
        """(M, N, 10) -> (N, 10)."""
        if self.stack is not None:
            together = self.stack.combine(said)
        else:
            together = majority(said) if self.by_vote else combine(said, self.weights)
        return together if self.temperature == 1.0 else scaled(together, self.temperature)


ALONE = Combination(weights=np.ones(1))


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A model ready to predict. name: as `--model` takes it. records, networks: of its members, at least one."""

    name: str
    run: Run  # the run whose folder holds the members
    records: tuple[RunRecord, ...]
    networks: tuple[nn.Module, ...]
    device: torch.device
    combine: Combination
    ensemble: EnsembleRecord | None = None
    pose_count: int = 1  # how often each network is asked about an image: more than once with test-time augmentation

    @property
    def header(self) -> RunHeader:
        """What its members' run was asked to do."""
        return self.run.header

    @property
    def title(self) -> str:
        """Its name to show: with test-time augmentation, that as well."""
        return f"{self.name}, test-time augmentation" if self.pose_count > 1 else self.name

    @property
    def side(self) -> int:
        """Height and width, in pixels, of the images it takes."""
        return self.header.side

    @property
    def dataset(self) -> str:
        """The data set it was trained on."""
        return self.header.dataset

    @property
    def data_checksum(self) -> str:
        """The checksum of that data set."""
        return self.header.data_checksum

    @property
    def member_count(self) -> int:
        """How many networks vote."""
        return len(self.records)

    @contextlib.contextmanager
    def on_one_thread(self) -> Iterator["Classifier"]:
        """The same model on one thread, for as long as the context lasts."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield self
        finally:
            torch.set_num_threads(before)

    def probabilities(self, images: npt.NDArray[np.uint8]) -> Combined:
        """(N, 10). images: uint8 (N, side, side), bright ink on a dark background."""
        if not len(images):
            return np.zeros((0, 10))
        tensor = as_tensor(images).to(self.device)
        said = [
            predict(network, tensor, stored_precision(record, self.device))
            for record, network in zip(self.records, self.networks, strict=True)
        ]
        return self.combine(np.stack(said))

    def finite(self, images: npt.NDArray[np.uint8]) -> Combined:
        """Like `probabilities`. Raises EnvironmentFailure if one of them is not a finite number."""
        said = self.probabilities(images)
        if not np.isfinite(said).all():
            raise EnvironmentFailure(f"{self.name} outputs probabilities that are not finite; use another --model")
        return said


def open_classifier(runs: Path, selector: str | None, *, tta: bool | None = None) -> Classifier:
    """SWEEP, SWEEP/TRIAL, SWEEP/ensemble, SWEEP/confirmed/TRIAL, SWEEP/refitted/TRIAL, or "ensemble": the latest one.

    A sweep alone means its leader's network. None means the latest run's ensemble or, if it has none, its leader's
    network. tta: test-time augmentation; None: as the ensemble was built, and without it for a single network. Raises
    UsageError if there is no such model, EnvironmentFailure if weights are missing or damaged.
    """
    chosen = _chosen(runs, selector)
    as_built = chosen.ensemble is not None and chosen.ensemble.uses_poses
    return _opened(chosen, in_poses=as_built if tta is None else tta)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What a selector means, before any network is loaded."""

    run: Run
    name: str
    records: Sequence[RunRecord]
    combine: Combination
    ensemble: EnsembleRecord | None = None


def _chosen(runs: Path, selector: str | None) -> _Chosen:
    if selector is None:
        run = Run.open(runs)
        return _ensemble(run) if run.ensemble else _leader(run)
    if selector == ENSEMBLE:
        return _ensemble(_latest_combined(runs))
    name, *rest = selector.split("/")
    run = Run.open(runs, name)
    if not rest:
        return _leader(run)
    if rest == [ENSEMBLE]:
        return _ensemble(run)
    if len(rest) == 2 and rest[0] in INNER_RUNS:
        within = rest.pop(0)
        inner = run.inner(within)
        if inner is None:
            raise UsageError(f"{name!r} has no runs in {within!r}; see `digits show {name}`")
        run = inner
    if len(rest) != 1 or not (rest[0].isascii() and rest[0].isdigit() and len(rest[0]) <= 6):
        raise UsageError(f"there is no model {selector!r}; write {name}, {name}/17 or {name}/ensemble")
    return _single(run, run.record(int(rest[0])))


def _latest_combined(runs: Path) -> Run:
    combined = [(run.folder / "ensemble.json", run) for run in runs_in(runs)]
    combined = [(path, run) for path, run in combined if path.is_file()]
    if not combined:
        raise UsageError(f"no run in {runs} has an ensemble yet; run: digits ensemble --top 5")
    return max(combined, key=lambda one: one[0].stat().st_mtime)[1]


def _leader(run: Run) -> _Chosen:
    leads = leader(run)
    if leads is None:
        raise UsageError(f"{run.header.name!r} has no validated trial yet; see `digits show {run.header.name}`")
    return _single(leads.home, leads.runs[0])


def _single(run: Run, record: RunRecord) -> _Chosen:
    return _Chosen(run=run, name=_name(run, str(record.trial)), records=[record], combine=ALONE)


def _name(run: Run, what: str) -> str:
    outer = run.outer
    within = [] if outer.folder == run.folder else [run.folder.name]
    return "/".join([outer.folder.name, *within, what])


def _ensemble(sweep: Run) -> _Chosen:
    record = sweep.ensemble
    if record is None:
        raise UsageError(f"{sweep.header.name!r} has no ensemble yet; run: digits ensemble --sweep {sweep.header.name}")
    confirmed = sweep.confirmation() if record.pool == "confirmed" else sweep
    if confirmed is None:
        raise EnvironmentFailure(
            f"the ensemble of {sweep.header.name!r} was built from confirmed runs, which are no longer there;"
            " run digits confirm and digits ensemble again"
        )
    trials = [member.trial for member in record.members] or list(record.chosen.weights)
    used, together = _combination(confirmed, record, trials)
    members = [confirmed.record(trial) for trial in used]
    return _Chosen(run=confirmed, name=_name(sweep, ENSEMBLE), records=members, combine=together, ensemble=record)


def _combination(run: Run, record: EnsembleRecord, trials: Sequence[int]) -> tuple[list[int], Combination]:
    """The trials that are used, and how their predictions are combined: exactly as when the ensemble was scored."""
    temperature = record.calibrated.temperature if record.calibrated else 1.0
    if record.method == "stack":  # its regression is not stored: fitting the same arrays gives the same one
        used = list(trials)
        stored = np.stack([run.validation_probabilities(trial, in_poses=record.uses_poses) for trial in used])
        stack = fit_stack(run.validation_labels, stored)
        return used, Combination(weights=stack.weights(len(used)), stack=stack, temperature=temperature)
    weights = record.chosen.weights
    used = [trial for trial in trials if weights.get(trial, 0.0) > 0]
    shares = np.array([weights[trial] for trial in used])
    return used, Combination(weights=shares, by_vote=record.method == "vote", temperature=temperature)


def _opened(chosen: _Chosen, *, in_poses: bool) -> Classifier:
    run, name, records = chosen.run, chosen.name, chosen.records
    header = run.header
    if header.fold_count:
        raise UsageError(
            f"{header.name!r} is a cross-validation: it has one network per fold and none for new images;"
            " train the recipe with --folds 0"
        )
    missing = [record.trial for record in records if not run.trial(record.trial).has_weights]
    if missing:
        raise EnvironmentFailure(
            f"{name}: the weights of trial {', '.join(map(str, missing))} are missing (a sweep keeps those of its"
            f" best {header.policy.keep}: --keep); choose another --model, or train the recipe again with digits replay"
        )
    poses = most_poses(records, f"{name} was not") if in_poses else 1
    device = default_device()
    return Classifier(
        name=name,
        run=run,
        records=tuple(records),
        networks=tuple(
            stored_model(run, record, header.side, in_poses=in_poses).to(device).eval() for record in records
        ),
        device=device,
        combine=chosen.combine,
        ensemble=chosen.ensemble,
        pose_count=poses,
    )

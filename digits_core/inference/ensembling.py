"""`digits ensemble`: combines the best models' stored predictions and measures what that gains."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError
from digits_core.inference.poses import most_poses, pose_count
from digits_core.inference.sealed import open_test
from digits_core.judging.candidates import candidates, of_each_architecture
from digits_core.judging.ensemble import (
    combine,
    contributions,
    cross_fitted,
    fit_greedy,
    fit_scaled,
    fit_stack,
    fit_stacked,
    fit_temperature,
    greedy_weights,
    majority,
    nll_difference,
    pairs,
    scaled,
    uniform_weights,
)
from digits_core.judging.stats import Interval, mcnemar_p_value, paired_mean_interval
from digits_core.metrics import image_nll, score
from digits_core.records import RunRecord
from digits_core.runs.ensemble_records import (
    AgainstSingle,
    Calibrated,
    Contender,
    EnsembleConfig,
    EnsembleRecord,
    InPoses,
    Member,
    PairOfMembers,
)
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter

ROUNDING = 1e-6  # smaller differences in NLL are rounding errors
Labels = npt.NDArray[np.int64]  # (N,)
Members = npt.NDArray[np.float32]  # (M, N, 10)
Combined = npt.NDArray[np.float64]  # (N, 10)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The models to combine, best first, and the run that they belong to."""

    run: Run
    records: tuple[RunRecord, ...]
    names: tuple[str, ...]


def choose_pool(sweep: Run, config: EnsembleConfig) -> Pool:
    """The best trials, or all seeds of the best confirmed recipes. Raises UsageError if there are none."""
    if config.pool == "all":
        records = _usable(sweep, sweep.ranked, config)
        records = of_each_architecture(records, lambda one: one.recipe, config.per_architecture)[: config.top]
        return Pool(run=sweep, records=tuple(records), names=tuple(f"trial {record.trial}" for record in records))
    confirmed = sweep.confirmation()
    best = [one for one in candidates(sweep) if one.confirmed]
    if confirmed is None or not best:
        raise UsageError(
            f"no recipe of {sweep.header.name!r} is confirmed yet; run `digits confirm` first, or leave out --pool"
        )
    best = of_each_architecture(best, lambda one: one.record.recipe, config.per_architecture)[: config.top]
    records = _usable(confirmed, [run for one in best for run in sorted(one.runs, key=lambda run: run.nll)], config)
    names = tuple(f"{record.label} seed {record.recipe.training.seed}" for record in records)
    return Pool(run=confirmed, records=tuple(records), names=names)


def why_fewer(sweep: Run, config: EnsembleConfig) -> str:
    """Why there are fewer of the sweep's own trials to combine than were asked for."""
    found = len(_testable(sweep, sweep.ranked, config))
    if found >= config.top:
        return f"--per-architecture {config.per_architecture} leaves out the others"
    if found < len(sweep.ranked):
        return "a sweep keeps the weights of its best trials only: --keep"
    return "the sweep has no others that count"


def _testable(run: Run, records: Sequence[RunRecord], config: EnsembleConfig) -> list[RunRecord]:
    return [record for record in records if run.can_be_tested(record.trial, in_poses=config.tta)]


def _usable(run: Run, records: Sequence[RunRecord], config: EnsembleConfig) -> list[RunRecord]:
    """Those that can be scored on the test set. Raises UsageError if there are none."""
    found = _testable(run, records, config)
    if not records:
        raise UsageError(f"{run.outer.name!r} has no validated trial to combine; run a sweep first")
    if not found:
        why = "so none can be tested; run the sweep again with a larger --keep"
        if config.tta:
            why = "which --tta needs; leave out --tta"
        raise UsageError(f"no trial of {run.outer.name!r} has kept its weights, {why}")
    return found


@dataclass(frozen=True, kw_only=True)
class CombinedPool:
    """One way to combine the pool. If the method is fitted, `validation` is cross-fitted."""

    method: str
    weights: npt.NDArray[np.float64]  # (M,); informative only if the method is not a weighted mean
    validation: Combined
    test: Combined


def build_ensemble(sweep: Run, config: EnsembleConfig) -> EnsembleRecord:
    """Combine the best models' stored predictions, store the result and return it.

    A fitted method is used only if its cross-fitted NLL is significantly lower than the uniform vote's: the paired
    95 % interval of the difference must lie below zero. Ranking and fitting use the validation set; the sealed test
    set is opened for all members.
    """
    pool = choose_pool(sweep, config)
    poses = most_poses(pool.records, "none of these networks was") if config.tta else 1
    labels = sweep.validation_labels
    validation = as_it_is = np.stack([pool.run.validation_probabilities(record.trial) for record in pool.records])
    if config.tta:
        from digits_core.inference.validated import validation_in_poses  # torch: only needed here

        validation = validation_in_poses(pool.run, pool.records)
    test = open_test(pool.run, pool.records, f"ensemble of {len(pool.records)}", in_poses=config.tta)
    test_labels = Run(pool.run.folder).test_labels
    combinations = combinations_of(config.method, labels, validation, test)
    method, reason = choose(labels, combinations)
    used = next(combination for combination in combinations if combination.method == method)
    single = combinations[0]
    calibrated, used_validation, used_test = None, used.validation, used.test
    if config.calibrate == "temperature":
        used_validation = cross_fitted(labels, used.validation[np.newaxis], fit_scaled)
        temperature = fit_temperature(labels, used.validation)
        used_test = scaled(used.test, temperature)
        calibrated = Calibrated(
            temperature=temperature, validation=score(labels, used_validation), test=score(test_labels, used_test)
        )
    weighing = [record for record, weight in zip(pool.records, used.weights, strict=True) if weight > 0]
    record = EnsembleRecord(
        method=method,
        reason=reason + _against_single(labels, used, single),
        created_at=time.time(),
        contenders=tuple(_contender(one, pool, labels, test_labels) for one in combinations),
        pool=config.pool,
        members=_members(pool, labels, validation),
        pairs=_pairs(pool, labels, validation),
        against_single=_beside_single(test_labels, used_test, single.test),
        calibrated=calibrated,
        in_poses=_in_poses(poses, labels, validation, as_it_is) if config.tta else None,
        parameter_count=sum(one.parameter_count for one in weighing),
        image_seconds=_image_seconds(weighing, in_poses=config.tta),
    )
    RunWriter(sweep.folder).write_ensemble(record, used_validation, used_test)
    return record


def combinations_of(method: str, labels: Labels, validation: Members, test: Members) -> list[CombinedPool]:
    """The best single model, the uniform vote, and the requested method if it is another one."""
    count = len(validation)
    nlls = [float(image_nll(labels, one).mean()) for one in validation]
    weights = {"single": np.eye(count)[int(np.argmin(nlls))], "uniform": uniform_weights(count)}
    found = [
        CombinedPool(method=name, weights=each, validation=combine(validation, each), test=combine(test, each))
        for name, each in weights.items()
    ]
    if method == "greedy":
        greedy = greedy_weights(labels, validation)
        honest = cross_fitted(labels, validation, fit_greedy)
        found.append(CombinedPool(method=method, weights=greedy, validation=honest, test=combine(test, greedy)))
    elif method == "stack":
        stack = fit_stack(labels, validation)
        honest = cross_fitted(labels, validation, fit_stacked)
        found.append(
            CombinedPool(method=method, weights=stack.weights(count), validation=honest, test=stack.combine(test))
        )
    elif method == "vote":
        found.append(
            CombinedPool(
                method=method, weights=weights["uniform"], validation=majority(validation), test=majority(test)
            )
        )
    return found


def choose(labels: Labels, combinations: Sequence[CombinedPool]) -> tuple[str, str]:
    """The method to use, and why. A fitted method has to beat the uniform vote."""
    uniform, last = combinations[1], combinations[-1]
    if last.method == "uniform":
        return "uniform", "as asked"
    difference = paired_mean_interval(nll_difference(labels, last.validation, uniform.validation))
    shown = f"validation NLL, {last.method} minus uniform: {_interval_text(difference)}"
    if last.method == "vote":
        return "vote", f"as asked ({shown})"
    if difference.high < -ROUNDING:
        return last.method, f"it beats the uniform vote ({shown})"
    return "uniform", f"{last.method} does not beat it ({shown})"


def _interval_text(interval: Interval) -> str:
    return f"95 % interval {interval.low:+.5f} .. {interval.high:+.5f}"


def _against_single(labels: Labels, used: CombinedPool, single: CombinedPool) -> str:
    ours, its = score(labels, used.validation).nll, score(labels, single.validation).nll
    if ours < its + ROUNDING:
        return ""
    shown = f"{its:.4f} against {ours:.4f}"
    return f"; the best single model has a lower validation NLL ({shown}), but it was selected by that number"


def _contender(combination: CombinedPool, pool: Pool, labels: Labels, test_labels: Labels) -> Contender:
    return Contender(
        method=combination.method,
        weights={
            record.trial: float(weight)
            for record, weight in zip(pool.records, combination.weights, strict=True)
            if weight > 0
        },
        validation=score(labels, combination.validation),
        test=score(test_labels, combination.test),
    )


def _members(pool: Pool, labels: Labels, validation: Members) -> tuple[Member, ...]:
    return tuple(
        Member(trial=record.trial, name=name, validation=score(labels, probabilities), contribution=contribution)
        for record, name, probabilities, contribution in zip(
            pool.records, pool.names, validation, contributions(labels, validation), strict=True
        )
    )


def _pairs(pool: Pool, labels: Labels, validation: Members) -> tuple[PairOfMembers, ...]:
    return tuple(
        PairOfMembers(
            trials=(pool.records[pair.first].trial, pool.records[pair.second].trial),
            disagreement=pair.disagreement,
            double_fault=pair.double_fault,
            yule_q=pair.yule_q,
        )
        for pair in pairs(validation.argmax(axis=2) != labels)
    )


def _beside_single(labels: Labels, used: Combined, single: Combined) -> AgainstSingle:
    ours, its = used.argmax(axis=1) != labels, single.argmax(axis=1) != labels
    return AgainstSingle(
        rescued=tuple(int(place) for place in np.flatnonzero(its & ~ours)),
        broken=tuple(int(place) for place in np.flatnonzero(ours & ~its)),
        p_value=mcnemar_p_value(ours, its),
    )


def _in_poses(poses: int, labels: Labels, posed: Members, as_it_is: Members) -> InPoses:
    ours, without = (combine(one, uniform_weights(len(one))) for one in (posed, as_it_is))
    difference = paired_mean_interval(nll_difference(labels, ours, without))
    return InPoses(
        pose_count=poses,
        validation=score(labels, ours),
        without=score(labels, without),
        low=difference.low,
        high=difference.high,
    )


def _image_seconds(records: Sequence[RunRecord], *, in_poses: bool) -> float | None:
    total = 0.0
    for record in records:
        if record.image_seconds is None:
            return None
        total += record.image_seconds * (pose_count(record.recipe.augmentation) if in_poses else 1)
    return total

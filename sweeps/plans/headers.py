"""A run's header: its settings, data and machine, stored in the same way by every kind of run."""

import time

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, Split
from digits_core.data.folds import Folds, cut_digits
from digits_core.environment import hardware_name, package_versions
from digits_core.errors import EnvironmentFailure
from digits_core.records import Policy, RunHeader, RunKind, SearchPlan


def data_of(header: RunHeader, *, otherwise: str) -> Split | Folds:
    """The data of a stored run, loaded and split again.

    Raises EnvironmentFailure, whose text ends in `otherwise`, if the data or the split are no longer the same.
    """
    digits = load_digits(header.dataset)
    split = cut_digits(digits, header.fold_count)
    if (digits.checksum, split.split_id) != (header.data_checksum, header.split_id):
        raise EnvironmentFailure(
            f"the data or the split of {header.dataset!r} are not those that {header.name!r} {otherwise}"
        )
    return split


def header_of(
    digits: Digits,
    split: Split | Folds,
    *,
    name: str,
    kind: RunKind,
    trial_count: int,
    max_epochs: int,
    seed: int,
    concurrency: int,
    device: str,
    space: dict[str, str],
    policy: Policy = Policy(),  # noqa: B008 - it is frozen
    plan: SearchPlan | None = None,
) -> RunHeader:
    """A header with the current time and this machine."""
    return RunHeader(
        name=name,
        created_at=time.time(),
        dataset=digits.name,
        side=digits.side,
        data_checksum=digits.checksum,
        split_id=split.split_id,
        train_n=split.train_count,
        validation_n=len(split.validation),
        trial_count=trial_count,
        max_epochs=max_epochs,
        seed=seed,
        concurrency=concurrency,
        device=device,
        space=space,
        hardware=hardware_name(),
        versions=package_versions(),
        kind=kind,
        policy=policy,
        plan=plan,
        fold_count=len(split.splits) if isinstance(split, Folds) else 0,
    )

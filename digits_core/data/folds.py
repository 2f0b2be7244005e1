"""Cross-validation folds: every image of a pool is held out exactly once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT, Digits, LabelledImages, Split, split_digits
from digits_core.errors import UsageError

FOLD_SEED = 30  # the k-fold script's own; fixed, so that all recipes are compared on the same folds


@dataclass(frozen=True, kw_only=True)
class Folds:
    """K splits of one pool. Their validation sets together are the whole pool."""

    splits: tuple[Split, ...]  # each one's validation set is the held-out fold; no test set is left out
    validation: LabelledImages
    validation_indices: npt.NDArray[np.int64]  # (N,): the pool's image numbers in the data set, sorted
    split_id: str

    @property
    def train_count(self) -> int:
        """Training images of the fold that has the fewest."""
        return min(split.train_count for split in self.splits)

    @cached_property
    def positions(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Positions of each fold's held-out images in the pool."""
        return tuple(np.searchsorted(self.validation_indices, split.validation_indices) for split in self.splits)


def cut_digits(digits: Digits, fold_count: int) -> Split | Folds:
    """What training may see: `fold_count` folds, or a single split if it is 0."""
    return fold_digits(digits, fold_count) if fold_count else split_digits(digits)


def fold_digits(digits: Digits, count: int) -> Folds:
    """Split into `count` shuffled folds: all images if the data set is one pool, else all but the sealed test set.

    Raises UsageError if there are more folds than images of the rarest digit.
    """
    from sklearn.model_selection import KFold  # takes a second to import

    train, validation, test = digits.parts
    pool = np.sort(np.concatenate([train, validation, test] if digits.is_pool else [train, validation]))
    per_digit = np.bincount(digits.labels[pool], minlength=CLASS_COUNT)
    rarest = int(per_digit.argmin())
    if count > per_digit[rarest]:
        raise UsageError(
            f"--folds {count} is too many: {digits.name} has only {per_digit[rarest]} images of its rarest digit,"
            f" {rarest}; use at most {per_digit[rarest]}"
        )
    split_id = f"{count}-folds-{digits.split_id}"
    cuts = KFold(count, shuffle=True, random_state=FOLD_SEED).split(pool)
    return Folds(
        splits=tuple(
            Split(
                train=digits.take(pool[kept]),
                validation=digits.take(pool[held_out]),
                validation_indices=pool[held_out],
                split_id=split_id,
            )
            for kept, held_out in cuts
        ),
        validation=digits.take(pool),
        validation_indices=pool,
        split_id=split_id,
    )

"""Cross-validation's cuts: every image of a pool is held out exactly once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from digits_core.data.digits import CLASS_COUNT, Digits, LabelledImages, Split, split_digits
from digits_core.errors import UsageError

FOLD_SEED = 30  # the k-fold script's own; fixed, so that all recipes are judged on the same folds


@dataclass(frozen=True, kw_only=True)
class Folds:
    """K splits of one pool. What a single split calls validation is, over all of them, the whole pool."""

    splits: tuple[Split, ...]  # each without a seal of its own: its validation part is the fold held out
    validation: LabelledImages
    validation_indices: npt.NDArray[np.int64]  # (N,): the pool's image numbers in the data set, sorted
    split_id: str

    @property
    def train_count(self) -> int:
        """Images that the fold with the fewest trains on."""
        return min(split.train_count for split in self.splits)

    @cached_property
    def positions(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Where each fold's held-out images stand in the pool."""
        return tuple(np.searchsorted(self.validation_indices, split.validation_indices) for split in self.splits)


def cut_digits(digits: Digits, fold_count: int) -> Split | Folds:
    """What training may see: so many folds, or with 0 a single split."""
    return fold_digits(digits, fold_count) if fold_count else split_digits(digits)


def fold_digits(digits: Digits, count: int) -> Folds:
    """Cut into `count` shuffled folds: of all images where the data set is one pool, else of all but the sealed part.

    Raises UsageError where there are more folds than images of the rarest digit.
    """
    from sklearn.model_selection import KFold  # takes a second to import

    train, validation, test = digits.parts
    pool = np.sort(np.concatenate([train, validation, test] if digits.is_pool else [train, validation]))
    per_digit = np.bincount(digits.labels[pool], minlength=CLASS_COUNT)
    rarest = int(per_digit.argmin())
    if count > per_digit[rarest]:
        raise UsageError(
            f"--folds {count} is more than {digits.name} has images of the rarest digit"
            f" ({per_digit[rarest]} of {rarest}); use at most {per_digit[rarest]}"
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

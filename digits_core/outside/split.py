"""A data set's split as one NPZ file, for models that are trained and judged outside digits."""

import io
from pathlib import Path

import numpy as np

from digits_core.data.digits import Digits
from digits_core.runs.durable import write_output


def write_split(digits: Digits, output: Path) -> dict[str, int]:
    """Write the training, validation and test sets, as a run without folds has them; return how many images each has.

    `train_images`, `validation_images` and `test_images` are uint8 (N, H, W), bright ink; `..._indices` are int64 (N,),
    positions in the data set, by which predictions are handed in; `train_labels` and `validation_labels` are uint8
    (N,). The test set's labels are not written: they stay sealed. `name`, `checksum` and `split_id` are text, and say
    which data and which split it is. np.load reads all of it without pickles.

    A mixture is numbered as one set; components that are too small to split are in its training set. Folds are not
    written: of a pool for cross-validation, too, this is the split of a run without folds.

    Raises UsageError if the data set cannot be split, EnvironmentFailure if the file cannot be written.
    """
    train, validation, test = digits.parts
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        train_images=digits.images[train],
        train_labels=digits.labels[train],
        train_indices=train,
        validation_images=digits.images[validation],
        validation_labels=digits.labels[validation],
        validation_indices=validation,
        test_images=digits.images[test],
        test_indices=test,
        name=np.array(digits.name),
        checksum=np.array(digits.checksum),
        split_id=np.array(digits.split_id),
    )
    write_output(output, buffer.getvalue())
    return {"train": len(train), "validation": len(validation), "test": len(test)}

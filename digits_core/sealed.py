"""The seal on the test part: one function opens it, for named finalists, and writes down that it did."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from digits_core.data import load_digits, sealed_test_part, split_digits
from digits_core.engine import default_device
from digits_core.errors import EnvironmentFailure
from digits_core.evaluate import load_weights, predict
from digits_core.models import build_model
from digits_core.records import Opening, RunRecord
from digits_core.store import SweepStore


def open_test(store: SweepStore, finalists: Sequence[RunRecord], purpose: str) -> npt.NDArray[np.float32]:
    """Test probabilities (M, N, 10) of stored models, computed once and kept; every call is a ledger line.

    Raises EnvironmentFailure where weights are missing or the data set is not the one the sweep was run on.
    """
    header = store.header
    digits = load_digits(header.dataset)
    if digits.checksum != header.data_checksum:
        raise EnvironmentFailure(
            f"the data set {header.dataset!r} in the data folder is not the one sweep {header.name!r} was run on"
        )
    split_id = split_digits(digits).split_id
    if split_id != header.split_id:
        raise EnvironmentFailure(
            f"sweep {header.name!r} was run on split {header.split_id}, this version of digits makes split {split_id}:"
            " what would be opened holds images that the sweep was trained on; run the sweep again"
        )
    test, indices = sealed_test_part(digits)
    unseen = [record for record in finalists if store.test_probabilities(record.trial) is None]
    weights = [store.trial(record.trial).weights() for record in unseen]  # all of them, or nothing is opened
    store.append_to_ledger(
        Opening(
            number=len(store.ledger()) + 1,
            at=time.time(),
            purpose=purpose,
            trials=tuple(record.trial for record in finalists),
        )
    )
    store.write_test_part(test.labels, indices)
    images = torch.from_numpy(test.images).unsqueeze(1).to(default_device())
    for record, stored in zip(unseen, weights, strict=True):
        model = build_model(record.recipe.model, digits.side).to(images.device)
        load_weights(model, stored)
        store.write_test(record.trial, predict(model, images, _precision(record, images.device)))
    return np.stack([store.opened_test_probabilities(record.trial) for record in finalists])


def _precision(record: RunRecord, device: torch.device) -> torch.dtype:
    """The type that the model was validated with, where this device is of the same kind."""
    same_kind = record.device.split(":")[0] == device.type
    return torch.bfloat16 if same_kind and record.precision == "bfloat16" else torch.float32

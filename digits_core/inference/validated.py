"""Asks stored networks about the validation images again, with test-time augmentation."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digits_core.inference.sealed import digits_of
from digits_core.inference.stored_model import stored_model, stored_precision
from digits_core.records import RunRecord
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from digits_core.training.device import default_device
from digits_core.training.evaluate import as_tensor, predict


def validation_in_poses(run: Run, records: Sequence[RunRecord]) -> npt.NDArray[np.float32]:
    """Validation probabilities (M, N, 10) with test-time augmentation, computed once and kept.

    Raises EnvironmentFailure if weights are missing or the data set is not the one the run was trained on.
    """
    images = as_tensor(digits_of(run).take(run.validation_indices).images)
    device = default_device()
    writer = RunWriter(run.folder)
    for record in records:
        if not run.has_validation_in_poses(record.trial):
            network = stored_model(run, record, run.header.side, in_poses=True).to(device)
            said = predict(network, images.to(device), stored_precision(record, device))
            writer.write_validation_in_poses(record.trial, said)
    posed = writer.run
    return np.stack([posed.validation_probabilities(record.trial, in_poses=True) for record in records])

"""The only code that opens the sealed test set: for named models, with a line in the ledger every time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digits_core.data.datasets import load_digits
from digits_core.data.digits import Digits, LabelledImages, refit_split_id, sealed_test_part
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.records import RunRecord
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter


def open_test_images(run: Run, records: Sequence[RunRecord], purpose: str) -> LabelledImages:
    """The test images themselves, to check a model's exported forms on them. Adds a ledger line like any opening."""
    test, _ = sealed_test_part(digits_of(run))
    RunWriter(run.folder).append_to_ledger(purpose, tuple(record.trial for record in records))
    return test


def open_foreign_test_images(asked: Sequence[tuple[Run, tuple[int, ...]]], name: str) -> LabelledImages:
    """The test set of any data set, to see how well models transfer. Adds a line to the ledger of each of their runs.

    asked: those runs, each with the trials whose models are used.
    """
    digits = load_digits(name)
    test, _ = sealed_test_part(digits)
    for run, trials in asked:
        RunWriter(run.folder).append_to_ledger(f"transfer to {digits.name}", trials)
    return test


def open_test_labels(run: Run, purpose: str) -> Run:
    """Keep the test set's labels, to score predictions that were made elsewhere. Adds a line to the ledger.

    Returns the run as it is then. Raises EnvironmentFailure if the data set is not the one the run was trained on.
    """
    test, indices = sealed_test_part(digits_of(run))
    writer = RunWriter(run.folder)
    writer.append_to_ledger(purpose, ())
    writer.write_test_part(test.labels, indices)
    return writer.run


def digits_of(run: Run) -> Digits:
    """The run's data set. Raises EnvironmentFailure if it, or its split, is not the one the run was trained on."""
    header = run.header
    digits = load_digits(header.dataset)
    if digits.checksum != header.data_checksum:
        raise EnvironmentFailure(
            f"the data set {header.dataset!r} on this machine is not the one {header.name!r} was trained on"
        )
    if header.split_id not in (digits.split_id, refit_split_id(digits)):
        raise EnvironmentFailure(
            f"{header.name!r} was trained on split {header.split_id}, but this version of digits makes split"
            f" {digits.split_id}: its test set contains images that the run was trained on; run it again"
        )
    return digits


def open_test(
    run: Run, records: Sequence[RunRecord], purpose: str, *, in_poses: bool = False
) -> npt.NDArray[np.float32]:
    """Test probabilities (M, N, 10) of stored models, computed once and kept. Every call adds a line to the ledger.

    in_poses: with test-time augmentation; those without it are kept as well.
    Raises EnvironmentFailure if weights are missing or the data set is not the one the run was trained on, UsageError
    for a cross-validation.
    """
    # Imported here, because opening labels or images for predictions made elsewhere needs no torch.
    from digits_core.inference.stored_model import stored_model, stored_precision
    from digits_core.training.device import default_device
    from digits_core.training.evaluate import as_tensor, predict

    header = run.header
    if header.fold_count:
        raise UsageError(
            f"{header.name!r} is a cross-validation: it has one network per fold and none for the sealed test set;"
            " train the recipe with --folds 0 to combine or test it"
        )
    digits = digits_of(run)
    test, indices = sealed_test_part(digits)
    device = default_device()
    # Load every model first: if one cannot be loaded, nothing is opened.
    ways = (False, True) if in_poses else (False,)
    asked = [(record, way) for record in records for way in ways]
    for record, way in asked:
        if run.has_opened_test(record.trial, in_poses=way):
            run.test_probabilities(record.trial, in_poses=way)  # if they are damaged, nothing is opened
    unseen = [
        (record, way, stored_model(run, record, digits.side, in_poses=way).to(device))
        for record, way in asked
        if not run.has_opened_test(record.trial, in_poses=way)
    ]
    writer = RunWriter(run.folder)
    writer.append_to_ledger(purpose, tuple(record.trial for record in records))
    for keeper in (
        writer,
        RunWriter(run.outer.folder),
    ):  # an ensemble of confirmed runs is stored in the sweep's folder
        keeper.write_test_part(test.labels, indices)
    images = as_tensor(test.images).to(device)
    for record, way, model in unseen:
        writer.write_test(record.trial, predict(model, images, stored_precision(record, device)), in_poses=way)
    opened = writer.run
    return np.stack([opened.test_probabilities(record.trial, in_poses=in_poses) for record in records])

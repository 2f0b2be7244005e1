"""`digits transfer`: models on the test sets of data sets that they were not trained on."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.data.checks import image_hashes
from digits_core.data.corruptions import CORRUPTIONS, corrupted
from digits_core.data.datasets import DATASETS, is_loadable, load_digits
from digits_core.data.digits import LabelledImages
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.framing import frame_for, reframed
from digits_core.inference.classifier import Classifier
from digits_core.inference.sealed import open_foreign_test_images
from digits_core.judging.stats import accuracy_interval
from digits_core.runs.run import Run
from digits_core.runs.transfer_records import Transfer, TransferCell, TransferColumn, TransferRow, write_transfer


def default_datasets(classifiers: Sequence[Classifier]) -> list[str]:
    """The data sets that the models were trained on, then every other one on this machine except optdigits-pooled."""
    own = [one.dataset for one in classifiers]
    others = [name for name in DATASETS if is_loadable(name) and name != "optdigits-pooled"]
    return list(dict.fromkeys([*own, *others]))


def transfer(
    classifiers: Sequence[Classifier], datasets: Sequence[str], *, corruptions: bool, say: Callable[[str], None]
) -> Transfer:
    """Test every model on every data set's test set; with `corruptions` also on its own, corrupted in fifteen ways.

    No model is chosen by the results. They are written to the folder of each model's run. Raises EnvironmentFailure if
    a data set on this machine is not the one that a model was trained on, UsageError for `corruptions` with models of
    several data sets.
    """
    for one in classifiers:
        if load_digits(one.dataset).checksum != one.header.data_checksum:
            raise EnvironmentFailure(
                f"the data set {one.dataset!r} on this machine is not the one {one.name} was trained on"
            )
    if corruptions and len({one.dataset for one in classifiers}) > 1:
        raise UsageError("--corruptions needs models that were trained on one data set; leave the others out")
    asked = _by_run(classifiers)
    parts: list[tuple[str, LabelledImages]] = []
    for name in datasets:
        test = open_foreign_test_images(asked, name)
        parts.append((name, test))
        if corruptions and name == classifiers[0].dataset:
            parts += [
                (f"{name}, {kind}", LabelledImages(images=corrupted(test.images, kind), labels=test.labels))
                for kind in CORRUPTIONS
            ]
    rows = [_row(one, parts, say) for one in classifiers]
    columns = tuple(TransferColumn(name=name, side=part.images.shape[1], n=len(part)) for name, part in parts)
    result = Transfer(created_at=time.time(), columns=columns, rows=tuple(rows))
    for one in classifiers:
        write_transfer(one.run.outer.folder, result)
    return result


def _by_run(classifiers: Sequence[Classifier]) -> list[tuple[Run, tuple[int, ...]]]:
    """Each run that the models belong to, once, with the trials that they consist of."""
    trials: dict[Path, dict[int, None]] = {}
    for one in classifiers:
        trials.setdefault(one.run.folder, {}).update(dict.fromkeys(record.trial for record in one.records))
    return [(Run(folder), tuple(found)) for folder, found in trials.items()]


def _row(
    classifier: Classifier, parts: Sequence[tuple[str, LabelledImages]], say: Callable[[str], None]
) -> TransferRow:
    digits = load_digits(classifier.dataset)
    train, validation, _ = digits.parts
    seen = set(image_hashes(digits.take(np.concatenate([train, validation]))))
    cells = []
    for name, part in parts:
        say(f"{classifier.name} on {name}: {len(part):,} images")
        wrong = int((classifier.probabilities(_fitting(part.images, classifier)).argmax(axis=1) != part.labels).sum())
        interval = accuracy_interval(wrong, len(part))
        cells.append(
            TransferCell(
                n=len(part),
                error_count=wrong,
                low=interval.low,
                high=interval.high,
                seen_count=sum(image in seen for image in image_hashes(part)),
                is_own=name == classifier.dataset,
            )
        )
    return TransferRow(model=classifier.title, trained_on=classifier.dataset, side=classifier.side, cells=tuple(cells))


def _fitting(images: npt.NDArray[np.uint8], classifier: Classifier) -> npt.NDArray[np.uint8]:
    """The images in the model's size: unchanged if they have it, else `reframed`."""
    return images if images.shape[1] == classifier.side else reframed(images, frame_for(classifier.side))

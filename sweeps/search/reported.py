"""What the searcher and the scheduler are told after every epoch of a trial."""

import math
from collections.abc import Mapping
from typing import Any

from digits_core.records import RunRecord

METRIC = "validation_nll"  # the lowest so far
EPOCH = "epoch"
FINISHED = "finished"  # the recipe's last epoch is done
FAILED = "failed"  # the trial raised: the other values mean nothing
PROGRESS = "progress"  # a list: the driver empties it, because Tune keeps every trial's last result


def reported(record: RunRecord) -> dict[str, Any]:
    """The values of a trial, from its record so far."""
    return {
        METRIC: record.nll if record.counts else math.nan,
        EPOCH: len(record.curve),
        FINISHED: record.status == "finished",
        FAILED: record.status == "failed",
    }


def finite_value(result: Mapping[str, Any]) -> float | None:
    """The metric of a result; None if it is not finite or the trial failed."""
    value = result.get(METRIC)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and not result[FAILED] else None

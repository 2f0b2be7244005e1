"""The values that a worker reports to Ray Tune after every epoch. The searcher and the scheduler read them."""

import math
from collections.abc import Mapping
from typing import Any

METRIC = "validation_nll"
ERROR_RATE = "validation_error_rate"  # at the best epoch so far, like METRIC
EPOCH = "epoch"
FINISHED = "finished"  # the recipe's last epoch is done
FAILED = "failed"  # the trial raised: the other values mean nothing
PROGRESS = "progress"  # a list of one: the driver empties it, because Tune keeps every trial's last result


def finite_value(result: Mapping[str, Any]) -> float | None:
    """The metric of a result; None if it is not finite or the trial failed."""
    value = result.get(METRIC)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and not result[FAILED] else None

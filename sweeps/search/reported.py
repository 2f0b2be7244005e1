"""What a worker reports to Ray Tune after every epoch, and the searcher and the scheduler read."""

import math
from collections.abc import Mapping
from typing import Any

METRIC = "validation_nll"
ERROR_RATE = "validation_error_rate"  # at the best epoch so far, as METRIC
EPOCH = "epoch"
FINISHED = "finished"  # the recipe's last epoch is done
FAILED = "failed"  # the trial raised, and what else is in the result says nothing


def finite_value(result: Mapping[str, Any]) -> float | None:
    """What a result says of its trial; None where it says nothing."""
    value = result.get(METRIC)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) and not result[FAILED] else None

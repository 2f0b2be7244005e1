"""What `digits sweep --dry-run` prints."""

import math
from typing import TYPE_CHECKING, Any

from digits_core.stored import MOST_TRIALS
from sweeps.words import duration

if TYPE_CHECKING:
    from sweeps.plans.planning import RunPlan
    from sweeps.running.estimate import Estimate


def estimate_document(plan: "RunPlan", about: "Estimate") -> dict[str, Any]:
    return {
        "sweep": plan.header.name,
        "trials": plan.header.trial_count,
        "space": plan.header.space,
        "size": about.size,
        "epochs": about.epochs,
        "epoch_seconds": about.epoch_seconds,
        "seconds": about.seconds,
        "bytes": about.byte_count,
    }


def estimate_lines(plan: "RunPlan", about: "Estimate") -> list[tuple[str, str]]:
    header = plan.header
    lines = [("space", about.size)]
    lines += [(f"  {name}", text) for name, text in header.space.items()]
    if header.trial_count < MOST_TRIALS:
        lines.append(("trials", f"{header.trial_count:,}, about {math.ceil(about.epochs):,} epochs in total"))
        lines.append(
            ("time", f"about {duration(about.seconds)}, {header.concurrency} at a time, within a factor of two")
        )
        lines.append(("disk", f"about {about.byte_count / 1e6:.0f} MB in {plan.folder}"))
    lines.append(("epoch", f"{about.epoch_seconds:.2f} s with the default recipe, measured just now on one thread"))
    lines.append(("next", "run the same command without --dry-run"))
    return lines

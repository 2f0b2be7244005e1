"""What `digits ensemble` prints."""

import dataclasses
from pathlib import Path
from typing import Any

from digits_cli.printed.sweep import score_document, score_text
from digits_core.metrics import Score
from digits_core.runs.command_line import open_command
from digits_core.runs.ensemble_records import Contender, EnsembleRecord, InPoses, share_text
from digits_core.runs.run import Run
from sweeps.words import counted


def ensemble_document(run: Run, record: EnsembleRecord, report: Path | None) -> dict[str, Any]:
    """Members' trial numbers are those of the pool: the sweep, or its confirmation."""
    return {
        "sweep": run.header.name,
        "report": report and str(report),
        "pool": record.pool,
        "ensemble": {
            "method": record.method,
            "reason": record.reason,
            "members": _weights(record, record.chosen),
            **_contender_document(record.chosen),
            "calibrated": record.calibrated
            and {
                "temperature": record.calibrated.temperature,
                "validation": score_document(record.calibrated.validation),
                "test": score_document(record.calibrated.test),
            },
            "test_time_augmentation": record.in_poses and _poses_document(record.in_poses),
            "parameters": record.parameter_count,
            "image_seconds": record.image_seconds,
        },
        "best_single": {"trial": next(iter(record.best_single.weights)), **_contender_document(record.best_single)},
        "against_single": record.against_single
        and {
            "rescued": len(record.against_single.rescued),
            "broken": len(record.against_single.broken),
            "p_value": record.against_single.p_value,
        },
        "contenders": [
            {
                "method": contender.method,
                "members": _weights(record, contender),
                **_contender_document(contender),
            }
            for contender in record.contenders
        ],
        "members": [
            {**dataclasses.asdict(member), "validation": score_document(member.validation)} for member in record.members
        ],
        "pairs": [dataclasses.asdict(pair) for pair in record.pairs],
        "test_openings": len(run.ledger),
    }


def _poses_document(posed: InPoses) -> dict[str, Any]:
    """Of the uniform vote on the validation set, with and without test-time augmentation."""
    return {
        "poses": posed.pose_count,
        "validation": score_document(posed.validation),
        "validation_without": score_document(posed.without),
        "nll_difference_interval": [posed.low, posed.high],
    }


def _weights(record: EnsembleRecord, contender: Contender) -> list[dict[str, Any]]:
    return [
        {"trial": trial, "name": record.name_of(trial), "weight": weight} for trial, weight in contender.weights.items()
    ]


def _contender_document(contender: Contender) -> dict[str, Any]:
    return {"validation": score_document(contender.validation), "test": score_document(contender.test)}


def ensemble_lines(run: Run, record: EnsembleRecord, report: Path | None) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for contender in record.contenders:
        label = "best single" if contender.method == "single" else contender.method
        if record.in_poses is not None:
            label += " (--tta)"
        lines.append((label, _shares_text(record, contender)))
        lines.append(("  validation", score_text(contender.validation)))
        lines.append(("  sealed test", score_text(contender.test)))
    lines.append(("chosen", f"{record.method}: {record.reason}"))
    lines += _poses_lines(record)
    lines += _calibrated_lines(record)
    lines += _analysis_lines(record)
    lines.append(("test opened", counted(len(run.ledger), "time")))
    if report:
        lines.append(("report", str(report)))
        lines.append(("next", open_command(report)))
    return lines


def _shares_text(record: EnsembleRecord, contender: Contender) -> str:
    """Members with their weights; those of a recipe's seeds are summed."""
    if len(contender.weights) == 1:
        return record.name_of(next(iter(contender.weights)))
    by_recipe: dict[str, list[float]] = {}
    for trial, weight in contender.weights.items():
        by_recipe.setdefault(record.name_of(trial).partition(" seed ")[0], []).append(weight)
    return "  ".join(
        f"{name} ({share_text(sum(weights))}{f', {len(weights)} seeds' if len(weights) > 1 else ''})"
        for name, weights in by_recipe.items()
    )


def _contributions_text(record: EnsembleRecord) -> str:
    """By how much the uniform vote's NLL rises without each member; of many members only the first and last few."""
    members = sorted(record.members, key=lambda member: -member.contribution)
    shown = members if len(members) <= 5 else [*members[:2], *members[-2:]]
    worth = ", ".join(f"{member.name} {1000 * member.contribution:+.2f}" for member in shown)
    which = "" if len(shown) == len(members) else f" (the most and least useful of {len(members)})"
    return f"rise of the uniform vote's NLL without the member, in thousandths{which}: {worth}"


def _calibrated_lines(record: EnsembleRecord) -> list[tuple[str, str]]:
    calibrated = record.calibrated
    if calibrated is None:
        return []
    before, after = record.chosen, calibrated
    return [
        ("calibrated", f"temperature {calibrated.temperature:.2f}; calibration error (ECE) and NLL, before and after:"),
        ("  validation", f"{_before_after(before.validation, after.validation)} (cross-fitted)"),
        ("  sealed test", _before_after(before.test, after.test)),
    ]


def _poses_lines(record: EnsembleRecord) -> list[tuple[str, str]]:
    posed = record.in_poses
    if posed is None:
        return []
    verdict = "no significant difference"
    if posed.low > 0 or posed.high < 0:
        verdict = f"significantly {'worse' if posed.low > 0 else 'better'}"
    with_it, without = posed.validation, posed.without
    return [
        (
            "--tta",
            f"up to {posed.pose_count} poses per image; uniform vote on validation: {with_it.error_count} wrong, NLL"
            f" {with_it.nll:.4f} with it, {without.error_count} wrong, NLL {without.nll:.4f} without (95 % interval of"
            f" the difference {posed.low:+.5f} .. {posed.high:+.5f}: {verdict})",
        )
    ]


def _before_after(before: Score, after: Score) -> str:
    return f"ECE {before.ece:.4f}, {after.ece:.4f}; NLL {before.nll:.4f}, {after.nll:.4f}"


def _analysis_lines(record: EnsembleRecord) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    against = record.against_single
    if against is not None:
        rescued = f"{counted(len(against.rescued), 'image')} rescued, {len(against.broken)} broken"
        lines.append(("against single", f"{rescued} on the sealed test set; McNemar p {against.p_value:.2g}"))
    if len(record.members) > 1:
        lines.append(("contributions", _contributions_text(record)))
        disagreement = sum(pair.disagreement for pair in record.pairs) / len(record.pairs)
        double_fault = sum(pair.double_fault for pair in record.pairs) / len(record.pairs)
        qs = [pair.yule_q for pair in record.pairs if pair.yule_q is not None]
        q = f", Yule's Q {sum(qs) / len(qs):.2f}" if qs else ""
        lines.append(
            (
                "pairs",
                f"{disagreement:.2%} of images right in exactly one of two, {double_fault:.2%} wrong in both{q}"
                " (means over pairs)",
            )
        )
    if record.parameter_count:
        latency = f", {1e6 * record.image_seconds:,.0f} microseconds per image" if record.image_seconds else ""
        lines.append(("cost", f"{record.parameter_count:,} parameters{latency}"))
    return lines

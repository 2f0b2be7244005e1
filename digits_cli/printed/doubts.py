"""What `digits doubts` prints."""

import dataclasses
from typing import Any

from digits_core.data.datasets import published_train_count
from digits_core.data.digits import published_name
from digits_core.judging.label_doubt import Doubt, Review
from digits_core.judging.stats import accuracy_interval
from digits_core.runs.command_line import digits_command, runs_option
from digits_core.runs.run import Run
from sweeps.words import counted

SHOWN = 20


def doubts_document(run: Run, review: Review) -> dict[str, Any]:
    """`index` is the image's number in the data set; the error counts and accuracies are those of the best model."""
    return {
        "sweep": run.header.name,
        "dataset": run.header.dataset,
        "part": review.part,
        "n": review.n,
        "models": review.model_count,
        "doubts": [{**dataclasses.asdict(doubt), "name": _name(run, doubt)} for doubt in review.doubts],
        "contested": {
            "n": review.contested_n,
            "error_count": review.error_count,
            "accuracy": 1 - review.error_count / review.n,
            "accuracy_without": 1 - review.uncontested_error_count / max(review.n - review.contested_n, 1),
            "error_count_without": review.uncontested_error_count,
        },
    }


def doubts_lines(run: Run, review: Review) -> list[tuple[str, str]]:
    images = counted(len(review.doubts), "image")
    lines = [
        (f"{review.part}", f"{images} of {review.n:,} to review, according to {counted(review.model_count, 'model')}")
    ]
    for doubt in review.doubts[:SHOWN]:
        why = [f"{doubt.missed_by} of {review.model_count} models miss it"]
        why += ["doubted by confident learning"] * doubt.confident + ["disputed in the literature"] * doubt.contested
        said = f"labelled {doubt.label}, read as {doubt.suggested}; p(label) {doubt.self_confidence:.3f}"
        lines.append((f"  {_name(run, doubt)}", f"{said}; {', '.join(why)}"))
    if len(review.doubts) > SHOWN:
        lines.append(("", f"and {len(review.doubts) - SHOWN} more; --json has them"))
    if review.contested_n:
        lines += _contested_lines(review)
    if not any(doubt.confident for doubt in review.doubts):
        lines.append(
            ("", "confident learning doubts none of these labels: no other digit is predicted as confidently as usual")
        )
    return [*lines, ("next", digits_command("report", run.header.name, *runs_option(run.folder)))]


def _contested_lines(review: Review) -> list[tuple[str, str]]:
    def text(errors: int, n: int) -> str:
        interval = accuracy_interval(errors, n)
        return f"{1 - errors / n:.2%} [{100 * interval.low:.2f}, {100 * interval.high:.2f}] {errors} of {n:,} wrong"

    return [
        ("best model", text(review.error_count, review.n)),
        (
            "  undisputed",
            f"{text(review.uncontested_error_count, review.n - review.contested_n)}, without the"
            f" {counted(review.contested_n, 'image')} whose label is disputed in the literature",
        ),
    ]


def _name(run: Run, doubt: Doubt) -> str:
    """The image's name outside this project, e.g. `test 947`, or its plain number."""
    return published_name(doubt.index, published_train_count(run.header.dataset))

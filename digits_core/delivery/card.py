"""The model card that travels with a model (Mitchell et al. 2019, arXiv 1810.03993), as Hugging Face takes it."""

import time
from dataclasses import dataclass
from typing import Any

import yaml

from digits_core.data.datasets import DATASETS, components_of, load_digits, public_name
from digits_core.delivery.exports import Export
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.judging.stats import accuracy_interval
from digits_core.metrics import Score
from digits_core.records import RunHeader, RunRecord

LIMITS = (
    "It predicts a digit whatever it is shown: there is no class for anything else.",
    "It knows handwriting like that of the data set above. Digits must be cropped, sized and centred in the same way;"
    " `digits predict --model FILE` does that for pictures.",
    "It was measured on the data set's own sealed test set; it makes more errors on other people's handwriting.",
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model that a card is about. records, weights: of its networks. test: its score where it was opened."""

    name: str
    header: RunHeader
    records: tuple[RunRecord, ...]
    weights: tuple[float, ...] = (1.0,)
    validation: Score | None = None
    test: Score | None = None
    pose_count: int = 1  # how often each network is asked about an image: more than once with test-time augmentation


def model_card(subject: Subject, export: Export | None = None, licence: str = "unknown") -> str:
    """The model card as Markdown: what the hub reads, then use, training, evaluation and limits for people.

    export: the files it lies beside, if any.
    """
    sections = [
        _front_matter(subject, export, licence),
        f"# {subject.name}" + (f" as {_format(export)}" if export else ""),
        *([_use(subject, export)] if export else []),
        "## Training\n\n" + "\n".join(_training(subject)),
        "## Evaluation\n\n" + "\n".join(_worth(subject, export)),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in LIMITS),
        "Made with `digits`, which searches, combines and compares classifiers of handwritten digits.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(subject: Subject, export: Export | None, licence: str) -> str:
    """What the hub reads: https://huggingface.co/docs/hub/model-cards."""
    dataset = subject.header.dataset
    known = [DATASETS[one] for one in components_of(dataset) if one in DATASETS]
    architectures = {record.recipe.model.name for record in subject.records}
    facts: dict[str, Any] = {
        "license": licence,
        "pipeline_tag": "image-classification",
        "tags": ["handwritten-digits", *sorted(architectures), *_format_tags(subject, export)],
        "datasets": [one.hub_name for one in known if one.hub_name],
        "metrics": ["accuracy"],
        "model-index": [{"name": subject.name, "results": results}] if (results := _results(subject, export)) else [],
    }
    if export is not None and export.config.format == "onnx":
        facts = {"license": facts.pop("license"), "library_name": "onnx", **facts}
    text = yaml.safe_dump({name: value for name, value in facts.items() if value}, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---"


def _format_tags(subject: Subject, export: Export | None) -> list[str]:
    tags = ["ensemble"] if len(subject.records) > 1 else []
    if export is not None:
        tags += [export.config.format, *(["int8"] if export.config.int8 else [])]
    return tags


def _results(subject: Subject, export: Export | None) -> list[dict[str, Any]]:
    """Accuracy on the sealed test set, of the exported file where there is one.

    Not on the validation set, which is our own cut and no split that the hub knows.
    """
    if export is not None:
        error_count, n = export.parity.error_count, export.parity.n
    elif subject.test is not None:
        error_count, n = subject.test.error_count, subject.test.n
    else:
        return []
    name, interval = public_name(subject.header.dataset), accuracy_interval(error_count, n)
    ends = f"{interval.low:.2%} to {interval.high:.2%}"
    first = components_of(subject.header.dataset)[0]
    kind = DATASETS[first].hub_name or first if first in DATASETS else name
    return [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": f"{name}, sealed test set", "type": kind, "split": "test"},
            "metrics": [
                {
                    "type": "accuracy",
                    "name": f"accuracy, {error_count:,} of {n:,} wrong, 95 % interval {ends}",
                    "value": round(1 - error_count / n, 6),
                }
            ],
        }
    ]


def _format(export: Export) -> str:
    return export.config.format + (", int8" if export.config.int8 else "")


def _use(subject: Subject, export: Export) -> str:
    side = subject.header.side
    if export.config.takes_bytes:
        takes = "`image`, uint8 (N, 1, height, width) of any size, light on dark or dark on light; the model scales it"
    else:
        takes = f"`image`, float32 (N, 1, {side}, {side}), 0 for paper and 1 for ink"
    text = f"Takes {takes}. Returns `probabilities`, float32 (N, 10), for the digits 0 to 9."
    if subject.pose_count > 1:
        text += (
            f" Inside, each network sees the image in up to {subject.pose_count} poses (test-time augmentation: as it"
            " is, turned or zoomed a little), and their probabilities are averaged."
        )
    return text + (_example(subject, export) if export.config.format == "onnx" else "")


def _example(subject: Subject, export: Export) -> str:
    side = subject.header.side
    scaled = "images[:, None]" if export.config.takes_bytes else "images[:, None].astype(np.float32) / 255"
    return f"""

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
images = np.zeros((1, {side}, {side}), np.uint8)  # 0 to 255, bright ink on a dark background
probabilities = session.run(None, {{"image": {scaled}}})[0]
```"""


def _training(subject: Subject) -> list[str]:
    header = subject.header
    lines = [
        f"- Data: {public_name(header.dataset)}{_provenance(header.dataset)}, {header.train_n:,} training and"
        f" {header.validation_n:,} validation images, SHA-256 {header.data_checksum[:12]}, split {header.split_id}",
        f"- Run started {time.strftime('%Y-%m-%d', time.localtime(header.created_at))} on {header.hardware}, with"
        f" {', '.join(f'{package} {version}' for package, version in header.versions.items())}",
    ]
    for record, weight in zip(subject.records, subject.weights, strict=True):
        recipe = record.recipe
        lines.append(
            f"- Network of trial {record.trial}: {recipe.model.name}, {record.parameter_count:,} parameters, seed"
            f" {recipe.training.seed}, best epoch {record.best_epoch}, recipe {recipe.recipe_id}"
            + (f", weight {weight:.3f}" if len(subject.records) > 1 else "")
        )
    return lines


def _provenance(dataset: str) -> str:
    try:
        return f" ({load_digits(dataset).provenance})"
    except (EnvironmentFailure, UsageError):  # it is not at hand, and the card can do without
        return ""


def _worth(subject: Subject, export: Export | None) -> list[str]:
    scores = [("Validation set, used to choose it", subject.validation), ("Sealed test set", subject.test)]
    lines = [
        f"- {part}: {_score_text(score.error_count, score.n)}, NLL {score.nll:.4f}, ECE {score.ece:.4f}"
        for part, score in scores
        if score is not None
    ]
    return lines + ([] if export is None else _worth_of_file(export))


def _worth_of_file(export: Export) -> list[str]:
    parity = export.parity
    lines = [f"- Sealed test set, this file: {_score_text(parity.error_count, parity.n)}"]
    lines.append(
        f"- Against torch in single precision: {parity.disagreements} of {parity.n:,} predictions differ, probabilities"
        f" by at most {parity.largest_difference:.2g}; torch gets {parity.torch_error_count} wrong"
        f" (McNemar p {parity.p_value:.2g})"
    )
    if export.footprint is not None:
        size = export.footprint
        lines.append(
            f"- Compiled for {size.compiler}: {size.flash / 1024:.1f} KB of flash, {size.ram / 1024:.1f} KB of RAM"
        )
    return lines


def _score_text(error_count: int, n: int) -> str:
    interval = accuracy_interval(error_count, n)
    accuracy = (n - error_count) / n
    return f"{error_count} of {n:,} wrong, {accuracy:.2%} [{interval.low:.2%}, {interval.high:.2%}] (95 %, Wilson)"

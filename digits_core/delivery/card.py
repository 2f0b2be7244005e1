"""The model card that travels with an exported model (Mitchell et al. 2019, arXiv 1810.03993)."""

import time

from digits_core.data.datasets import load_digits
from digits_core.delivery.exports import Export
from digits_core.inference.classifier import Classifier
from digits_core.judging.stats import accuracy_interval
from digits_core.metrics import Score

LIMITS = (
    "It predicts a digit whatever it is shown: there is no class for anything else.",
    "It knows handwriting like that of the data set above. Digits must be cropped, scaled and centred in the"
    " same way; `digits predict` does that for pictures.",
    "It was measured on the data set's own sealed test set; it makes more errors on other people's handwriting.",
)


def model_card(classifier: Classifier, export: Export) -> str:
    """The model card as Markdown: use, training, evaluation, limits."""
    sections = [
        f"# {classifier.name} as {_format(export)}",
        _use(classifier, export),
        "## Training\n\n" + "\n".join(_training(classifier)),
        "## Evaluation\n\n" + "\n".join(_worth(classifier, export)),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in LIMITS),
    ]
    return "\n\n".join(sections) + "\n"


def _format(export: Export) -> str:
    return export.config.format + (", int8" if export.config.int8 else "")


def _use(classifier: Classifier, export: Export) -> str:
    side = classifier.side
    if export.config.takes_bytes:
        takes = "`image`, uint8 (N, 1, height, width) of any size, light on dark or dark on light; the model scales it"
    else:
        takes = f"`image`, float32 (N, 1, {side}, {side}), 0 for paper and 1 for ink"
    return f"Takes {takes}. Returns `probabilities`, float32 (N, 10), for the digits 0 to 9."


def _training(classifier: Classifier) -> list[str]:
    header = classifier.header
    lines = [
        f"- Data: {header.dataset} ({load_digits(header.dataset).provenance}), {header.train_n:,} training and"
        f" {header.validation_n:,} validation images, SHA-256 {header.data_checksum[:12]}, split {header.split_id}",
        f"- Run started {time.strftime('%Y-%m-%d', time.localtime(header.created_at))} on {header.hardware}, with"
        f" {', '.join(f'{package} {version}' for package, version in header.versions.items())}",
    ]
    for record, weight in zip(classifier.records, classifier.combine.weights, strict=True):
        recipe = record.recipe
        lines.append(
            f"- Network of trial {record.trial}: {recipe.model.name}, {record.parameter_count:,} parameters, seed"
            f" {recipe.training.seed}, best epoch {record.best_epoch}, recipe {recipe.recipe_id}"
            + (f", weight {weight:.3f}" if len(classifier.records) > 1 else "")
        )
    return lines


def _worth(classifier: Classifier, export: Export) -> list[str]:
    parity, lines = export.parity, []
    for part, score in _scores(classifier):
        lines.append(f"- {part}: {_score_text(score.error_count, score.n)}, NLL {score.nll:.4f}, ECE {score.ece:.4f}")
    lines.append(f"- Sealed test set, this file: {_score_text(parity.error_count, parity.n)}")
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


def _scores(classifier: Classifier) -> list[tuple[str, Score]]:
    ensemble = classifier.ensemble
    if ensemble is not None:
        return [("Validation set, used to choose it", ensemble.chosen.validation)]
    (record,) = classifier.records
    return [] if record.validation is None else [("Validation set, used to choose it", record.validation)]


def _score_text(error_count: int, n: int) -> str:
    interval = accuracy_interval(error_count, n)
    accuracy = (n - error_count) / n
    return f"{error_count} of {n:,} wrong, {accuracy:.2%} [{interval.low:.2%}, {interval.high:.2%}] (95 %, Wilson)"

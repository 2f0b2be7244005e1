"""The page's first sentence: who leads, by how much, and whether that is significant. Rows in, text out."""

from digits_core.judging.answers import Answers
from digits_core.judging.leaderboard import Leaderboard
from digits_core.judging.stats import p_value_text
from digits_core.records import RunRecord
from digits_core.runs.ensemble_records import EnsembleRecord
from reports.rows.answers import Answered
from reports.rows.views import View

CHANCE = 0.05


def sweep_headline(
    board: Leaderboard,
    answered: Answered,
    ensemble: EnsembleRecord | None,
    p: float | None,
    began_with: int | None = None,
) -> str:
    """Sum up a sweep: its leader, which others are tied with it, and what the ensemble gains.

    p: McNemar's p-value of the ensemble against its best member; began_with: the trial of the default recipe.
    """
    parts = [_leader(board), _tie(board)]
    if len(board.rows) > 1 and began_with == board.rows[0].candidate.trial:
        parts.append("It is the recipe that the search started from: no sampled recipe beat it.")
    if ensemble is not None and len(answered.featured) > 1:
        parts.append(_gain(answered.featured[1], ensemble, p))
    return " ".join(parts)


def _leader(board: Leaderboard) -> str:
    leader = board.rows[0].candidate
    part = "sealed test" if leader.test else board.part
    answers = leader.test or leader.validation
    seeds = f", averaged over {len(leader.runs)} fresh seeds" if leader.confirmed else ""
    images = f"{answers.n:,} {part} images{seeds}"
    return f"Trial {leader.trial} ({_model_text(leader.record)}) leads with {answers_text(answers)} on {images}."


def _model_text(record: RunRecord) -> str:
    model = record.recipe.model
    size = f" {model.width}" if model.name in ("cnn", "resnet") else ""
    return f"{record.label or model.name + size}, {record.parameter_count:,} parameters"


def answers_text(answers: Answers) -> str:
    """Accuracy and the mean error count."""
    return f"{100 * answers.accuracy.mean:.2f}\u202f% accuracy ({mean_errors_text(answers)} wrong)"


def mean_errors_text(answers: Answers) -> str:
    """The mean error count, with a decimal if it has one."""
    mean = sum(answers.error_counts) / len(answers.error_counts)
    return f"{mean:.0f}" if mean == round(mean) else f"{mean:.1f}"


def _tie(board: Leaderboard) -> str:
    others, tied = len(board.rows) - 1, len(board.tie) - 1
    if not others:
        return "No other trial was validated, so there is nothing to compare it with."
    if not tied:
        return (
            "It differs significantly in error rate from"
            f" {'the other trial' if others == 1 else f'all {others} others'}."
        )
    if tied == others:
        return (
            "But it is statistically tied with the other trial."
            if others == 1
            else f"But none of the {others} others is significantly different."
        )
    return f"But it is statistically tied with {tied} of the {others} others."


def _gain(view: View, ensemble: EnsembleRecord, p: float | None) -> str:
    ours, single = view.result.score, ensemble.best_single.test
    fewer = single.error_count - ours.error_count
    change = f"{abs(fewer)} {'fewer' if fewer > 0 else 'more'} than" if fewer else "as many as"
    said = f"The ensemble gets {ours.error_count} of {ours.n:,} wrong, {change} its best member"
    if p is None or not fewer:
        return f"{said}."
    sure = "the difference may be chance" if p >= CHANCE else "the difference is significant"
    return f"{said}: {sure} (McNemar p {_equals(p)})."


def _equals(p: float) -> str:
    text = p_value_text(p)
    return text if text.startswith("<") else f"= {text}"

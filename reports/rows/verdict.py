"""What a page says in words: its title, its verdict in two sentences, and whether it is real. Rows in, text out."""

import time
from dataclasses import dataclass
from pathlib import Path

from digits_core.judging.answers import Answers
from digits_core.judging.candidates import Candidate
from digits_core.judging.leaderboard import Leaderboard, Row
from digits_core.judging.stats import p_value_text, percent_text
from digits_core.records import RunHeader, RunKind, RunRecord
from digits_core.runs.command_line import digits_command, runs_option
from digits_core.runs.ensemble_records import EnsembleRecord
from reports.rows.answers import Answered
from reports.rows.views import View

CHANCE = 0.05
PATIENCE_FOR_OPENINGS = 3


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of "Is it real?". `command`: what would answer it, if it is still open."""

    against: str
    said: str
    advice: str = ""  # what the command is for
    command: str = ""


def title_of(header: RunHeader, board: Leaderboard) -> str:
    """What was done and on which data: "30 trials on mnist"."""
    if header.kind == RunKind.SWEEP:
        count = header.asked_trials or len(board.rows)
        what = f"{count:,} trial{'' if count == 1 else 's'}"
    elif len(board.rows) > 1:
        what = f"{len(board.rows)} recipes compared"
    else:
        what = _recipe_text(board.rows[0].candidate.record)
    folds = f", {header.fold_count} folds" if header.fold_count else ""
    return f"{what} on {header.dataset}{folds}"


def date_of(seconds: float) -> str:
    """`27 November 2026`, local time."""
    return time.strftime("%d %B %Y", time.localtime(seconds)).lstrip("0")


def sweep_verdict(board: Leaderboard, answered: Answered, ensemble: EnsembleRecord | None, p: float | None) -> str:
    """Two sentences: who leads and who is tied with it, and what the ensemble gains.

    p: McNemar's p-value of the ensemble against its best member.
    """
    said = f"{_leader(board)}{_tie(board)}.{_unequal(board)}"
    if ensemble is not None and len(answered.featured) > 1:
        said += f" {_gain(answered.featured[1], ensemble, p)}"
    return said


def comparison_verdict(board: Leaderboard) -> str:
    """Which recipe comes first, and whether the others are significantly worse."""
    first = board.rows[0].candidate
    answers = first.test or first.validation
    part = "sealed test" if first.test else board.part
    seeds = f", mean of {len(first.runs)} seeds" if len(first.runs) > 1 else ""
    right = percent_text(answers.accuracy.mean, answers.n)
    start = f"{first.record.label} comes first with {right} of {answers.n:,} {part} images right"
    return f"{start} ({mean_errors_text(answers)} wrong{seeds}){_tie(board)}."


def training_verdict(view: View) -> str:
    """What a single network scores."""
    score = view.result.score
    right = percent_text(score.accuracy, score.n)
    return f"{right} of {score.n:,} {view.part} images are read correctly; {score.error_count:,} are not."


def _leader(board: Leaderboard) -> str:
    leader = board.rows[0].candidate
    part = "sealed test" if leader.test else board.part
    answers = leader.test or leader.validation
    seeds = f", mean of {len(leader.runs)} fresh seeds{_length(leader)}" if leader.confirmed else ""
    leads = "leads on validation and gets" if leader.test else "leads with"
    return (
        f"Trial {leader.trial} ({_recipe_text(leader.record)}, {leader.record.parameter_count:,} parameters) {leads}"
        f" {percent_text(answers.accuracy.mean, answers.n)} of {answers.n:,} {part} images right"
        f" ({mean_errors_text(answers)} wrong{seeds})"
    )


def _recipe_text(record: RunRecord) -> str:
    model = record.recipe.model
    size = f" {model.width}" if model.name in ("cnn", "resnet") else ""
    return record.label or model.name + size


def mean_errors_text(answers: Answers) -> str:
    """The mean error count, with a decimal if it has one."""
    mean = sum(answers.error_counts) / len(answers.error_counts)
    return f"{mean:,.0f}" if mean == round(mean) else f"{mean:,.1f}"


def _counts(board: Leaderboard) -> tuple[int, int]:
    """How many rows there are beside the leader, and how many of them are tied with it."""
    return len(board.rows) - 1, len(board.tie) - 1


def tie_text(board: Leaderboard) -> str:
    """The tie group in one line; empty if there is only the leader."""
    others, tied = _counts(board)
    if not others:
        return ""
    if tied:
        return f"Tie group: the leader and {'the other' if others == 1 else f'{tied} of {others} others'}"
    return "The other is not tied" if others == 1 else f"None of {others} others is tied"


def _tie(board: Leaderboard) -> str:
    others, tied = _counts(board)
    if not others:
        return ", with nothing to compare it with"
    if not tied:
        fewer = len(fewer_mistakes(board))
        if not fewer:
            return f", significantly ahead of {_all(others)}"
        more = f", {others - fewer} more" if others > fewer else ""
        who = "the other makes" if others == 1 else f"{fewer} of the {others} others make{'s' if fewer == 1 else ''}"
        return f", but {who} significantly fewer mistakes{more}"
    if tied == others:
        return f", but {_all(others)} {'is' if others == 1 else 'are'} statistically tied with it"
    return f", statistically tied with {tied} of the {others} others"


def _length(candidate: Candidate) -> str:
    """For how many epochs it was trained, if not for as many as in the search; else empty."""
    if candidate.searched_epochs is None:
        return ""
    return f" for {candidate.recipe.training.epochs} epochs, {candidate.searched_epochs} in the search"


def _unequal(board: Leaderboard) -> str:
    """That rows are no fair comparison of recipes; empty if they are."""
    if not board.unequal:
        return ""
    others = len(board.rows) - 1
    who = _all(others) if len(board.unequal) == others else f"{len(board.unequal)} of the others"
    return f" But {who} trained for another number of epochs, so this does not say which recipe is better."


def _all(others: int) -> str:
    return {1: "the other", 2: "both others"}.get(others, f"all {others} others")


def fewer_mistakes(board: Leaderboard) -> list[Row]:
    """The rows that make significantly fewer mistakes than the leader: their NLL is worse."""
    return [row for row in board.rows if row.to_leader and row.to_leader.verdict == "fewer mistakes"]


def _gain(view: View, ensemble: EnsembleRecord, p: float | None) -> str:
    ours, single = view.result.score, ensemble.best_single.test
    fewer = single.error_count - ours.error_count
    change = f"{abs(fewer)} {'fewer' if fewer > 0 else 'more'} than" if fewer else "as many as"
    count = len(ensemble.chosen.weights)
    than = f"{change} the member that is best on validation"
    said = f"The ensemble of {count} gets {ours.error_count} wrong, {than}"
    if p is None or not fewer:
        return f"{said}."
    sure = "the difference may be chance" if p >= CHANCE else "the difference is significant"
    return f"{said}: {sure} (McNemar {_equals(p)})."


def _equals(p: float) -> str:
    text = p_value_text(p)
    return f"p\u00a0{text}" if text.startswith("<") else f"p\u00a0=\u00a0{text}"


def checks_of(
    header: RunHeader, folder: Path, board: Leaderboard, ensemble: EnsembleRecord | None, p: float | None
) -> list[Check]:
    """Is it real? Three short answers. p: as for `sweep_verdict`; folder: the run's."""
    if header.kind != RunKind.SWEEP:
        return [_against_seeds(board), *([_against_runner_up(board)] if len(board.rows) > 1 else [])]
    luck = _against_luck(header, folder, board)
    if len(board.rows) == 1:
        return [luck]
    return [luck, _against_runner_up(board), _ensemble_against_member(folder, board, ensemble, p)]


def _against_luck(header: RunHeader, folder: Path, board: Leaderboard) -> Check:
    """Whether the leader was only lucky. Trial 0 of every search is the default recipe."""
    name, leader = "Against luck", board.rows[0].candidate
    began = len(board.rows) > 1 and leader.trial == 0 and header.plan is not None
    unbeaten = " It is the recipe that the search started from: no sampled recipe beat it." if began else ""
    if leader.confirmed:
        said = f"Trained again{_length(leader)}: {_over_seeds(leader.validation, board.part, 'fresh seeds')}"
        return Check(against=name, said=said + unbeaten)
    command = digits_command("confirm", "--sweep", folder.name, *runs_option(folder))
    advice = "To train it again on fresh seeds:"
    if board.selected is None:
        said = "Not checked: one run on one seed."
        return Check(against=name, said=said, advice=advice, command=command)
    shown, corrected = (percent_text(each, board.n) for each in (board.selected.shown, board.selected.accuracy))
    picked = "" if board.picked_trial == leader.trial else f"trial {board.picked_trial} has "
    said = (
        f"{picked}{shown} on {board.part}, {corrected} corrected for being picked as the best of {board.picked_from}."
    )
    return Check(against=name, said=f"Not checked yet: {said}{unbeaten}", advice=advice, command=command)


def _over_seeds(answers: Answers, part: str, seeds: str) -> str:
    counts = ", ".join(map(str, answers.error_counts))
    if len(answers.error_counts) == 1:
        return f"{counts} of {answers.n:,} wrong on {part}, one run on a {seeds.removesuffix('s')}."
    return f"{counts} of {answers.n:,} wrong on {part}, with {len(answers.error_counts)} {seeds}."


def _against_seeds(board: Leaderboard) -> Check:
    first = board.rows[0].candidate
    if len(first.runs) == 1:
        return Check(against="Against another seed", said="One run: another seed would give another figure.")
    answers, part = (first.test, "sealed test") if first.test else (first.validation, board.part)
    return Check(against="Over the seeds", said=_over_seeds(answers, part, "seeds"))


def _against_runner_up(board: Leaderboard) -> Check:
    row = board.rows[1]
    assert row.to_leader is not None
    who = row.candidate.record.label or f"trial {row.candidate.trial}"
    more = row.to_leader.error_rate * board.n
    difference = f"{abs(more):.0f}" if abs(more - round(more)) < 0.05 else f"{abs(more):.1f}"
    count = f"{difference} {'more' if more > 0 else 'fewer'} wrong" if round(more, 1) else "as many wrong"
    sure = "A tie" if row.to_leader.tied else "Significant"
    p = _equals(row.to_leader.corrected_p_value)
    said = f"{sure}: {who} gets {count} of {board.n:,} on {board.part} (corrected {p})."
    if row in board.unequal:
        epochs = [len(one.runs[0].curve) for one in (row.candidate, board.rows[0].candidate)]
        said += f" It was trained for {epochs[0]} epoch{'' if epochs[0] == 1 else 's'}, the leader for {epochs[1]}."
    fewer = fewer_mistakes(board)
    if fewer:
        said += f" {len(fewer)} of the others make{'s' if len(fewer) == 1 else ''} significantly fewer mistakes."
    return Check(against="Against the runner-up", said=said)


def _ensemble_against_member(
    folder: Path, board: Leaderboard, ensemble: EnsembleRecord | None, p: float | None
) -> Check:
    name, options = "Ensemble against its best member", runs_option(folder)
    if ensemble is None:
        command = digits_command("ensemble", "--top", 5, "--sweep", folder.name, *options)
        return Check(against=name, said="There is no ensemble yet.", advice="To build one:", command=command)
    single = ensemble.name_of(next(iter(ensemble.best_single.weights)))
    moved = ensemble.against_single
    sure = "" if p is None else "May be chance: " if p >= CHANCE else "Significant: "
    said = f"{sure}compared with {single}"
    if moved:
        said = f"{sure}{len(moved.rescued)} right that {single} gets wrong, {len(moved.broken)} the other way round"
    if p is not None:
        said += f" ({_equals(p)})"
    if board.rows[0].candidate.confirmed and ensemble.pool != "confirmed":
        command = digits_command("ensemble", "--pool", "confirmed", "--sweep", folder.name, *options)
        said += ". It combines the search's own runs, not those on fresh seeds"
        return Check(against=name, said=f"{said}.", advice="To combine those:", command=command)
    return Check(against=name, said=f"{said}.")


def openings_text(count: int) -> str:
    """How often the sealed test set was opened, and what that means."""
    said = f"The sealed test set was opened {count} time{'' if count == 1 else 's'}."
    if count > PATIENCE_FOR_OPENINGS:
        said += " A choice made after one opening cannot be judged fairly by the next."
    return said

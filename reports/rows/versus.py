"""Several runs side by side: their leaderboards, the best NLL so far, and paired tests between their leaders."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from digits_core.judging.answers import Answers
from digits_core.judging.candidates import Candidate
from digits_core.judging.leaderboard import Leaderboard, leaderboard
from digits_core.judging.paired import Duel, duel
from digits_core.judging.stats import holm, p_value_text
from digits_core.records import RunHeader, RunSummary, status_counts
from digits_core.runs.run import Run
from reports.rows.search import HistoryPoint, history, search_clock, sessions_of

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class RunColumn:
    """One run on the page."""

    run: Run
    header: RunHeader
    summary: RunSummary | None
    counts: dict[str, int]  # trials by status
    board: Leaderboard
    history: tuple[HistoryPoint, ...]

    @property
    def leader(self) -> Candidate:
        return self.board.rows[0].candidate

    @property
    def epochs(self) -> int:
        """Epochs trained by all of its trials that count."""
        return self.history[-1].epochs if self.history else 0


@dataclass(frozen=True, kw_only=True)
class LeaderTest:
    """A paired test between the leaders of two runs. `duel` is None if there is none, for the `reason` given."""

    first: str
    second: str
    part: str
    duel: Duel | None
    corrected_p_value: float | None  # Holm, over all tests on the page
    reason: str = ""

    @property
    def verdict(self) -> str:
        """Which leader is significantly better, or why there is no test."""
        if self.duel is None or self.corrected_p_value is None:
            return self.reason
        if self.corrected_p_value >= 0.05:
            return "not significantly different"
        return f"{self.first if self.duel.error_rate > 0 else self.second} makes fewer mistakes"

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if self.duel is None or self.corrected_p_value is None:
            return f"{self.first} and {self.second} on {self.part}: {self.reason}."
        p = p_value_text(self.corrected_p_value)
        said = f"{self.verdict} on {self.duel.n:,} {self.part} images (p {'' if p.startswith('<') else '= '}{p})."
        return f"The leader{f's of {self.first} and {self.second} are' if said.startswith('not') else ' of'} {said}"


@dataclass(frozen=True, kw_only=True)
class VersusData:
    """Everything on the page."""

    columns: tuple[RunColumn, ...]
    tests: tuple[LeaderTest, ...]

    @property
    def verdict(self) -> str:
        """Each pair's test, on the sealed test set where there is one; of many pairs the first."""
        pairs = {(test.first, test.second): test for test in self.tests}  # the test set comes after validation
        first, *others = pairs.values()
        return first.sentence + (f" {len(others)} more pair{'' if len(others) == 1 else 's'} below." if others else "")

    @property
    def same_recipe(self) -> bool:
        """Whether all leaders have the same recipe, seeds aside."""
        return len({column.leader.recipe.recipe_id for column in self.columns}) == 1


def collect_versus(stores: Sequence[Run]) -> VersusData:
    """Read all runs. Raises UsageError if one of them has no validated trial."""
    columns = tuple(_column(run) for run in stores)
    found = [test for pair in combinations(columns, 2) for test in _tests(*pair)]
    p_values = [test.p_value for _, _, _, test in found if isinstance(test, Duel)]
    corrected = iter(holm(p_values))
    return VersusData(
        columns=columns,
        tests=tuple(
            LeaderTest(
                first=first,
                second=second,
                part=part,
                duel=test if isinstance(test, Duel) else None,
                corrected_p_value=next(corrected) if isinstance(test, Duel) else None,
                reason="" if isinstance(test, Duel) else test,
            )
            for first, second, part, test in found
        ),
    )


def _column(run: Run) -> RunColumn:
    board, records = leaderboard(run), run.records
    clock = search_clock(sessions_of(run), records)
    return RunColumn(
        run=run,
        header=run.header,
        summary=run.summary,
        counts=status_counts(records),
        board=board,
        history=history(records, clock),
    )


def _tests(first: RunColumn, second: RunColumn) -> list[tuple[str, str, str, Duel | str]]:
    names = first.header.name, second.header.name
    if first.header.data_checksum != second.header.data_checksum:
        return [(*names, first.board.part, "not comparable (different data)")]
    pairs = [(first.board.part, first.leader.validation, second.leader.validation, _same_validation(first, second))]
    if first.leader.test is not None and second.leader.test is not None:
        pairs.append(("sealed test", first.leader.test, second.leader.test, _same_test(first, second)))
    return [(*names, part, _duel(ours, theirs, same=same)) for part, ours, theirs, same in pairs]


def _duel(first: Answers, second: Answers, *, same: bool) -> Duel | str:
    return duel(first, second) if same else "not comparable (different images)"


def _same_validation(first: RunColumn, second: RunColumn) -> bool:
    return np.array_equal(first.run.validation_indices, second.run.validation_indices)


def _same_test(first: RunColumn, second: RunColumn) -> bool:
    return np.array_equal(first.leader.home.test_indices, second.leader.home.test_indices)

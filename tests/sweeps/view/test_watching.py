import contextlib
import time

import pytest

from digits_core.records import Assignment
from digits_core.runs.journal import EndedTrial, Journal, RetriedTrial
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from sweeps.view.watching import JournalTail, watch
from tests.helpers.sweeps import Recorder


class Following(Recorder):
    """Advances the watched run by one step at every tick."""

    def __init__(self, steps: list[contextlib.AbstractContextManager[None]]) -> None:
        super().__init__()
        self.steps = steps

    def tick(self) -> None:
        if self.steps:
            with self.steps.pop(0):
                pass


def test_a_watcher_sees_what_the_runs_own_view_sees(sweep_store: Run) -> None:
    first, second, *_ = records = sweep_store.records
    driver = contextlib.ExitStack()
    driver.enter_context(sole_driver(sweep_store.folder))
    journal = driver.enter_context(Journal(sweep_store.folder))
    journal.session(1, 5.0)
    journal.drawn(Assignment(trial=0, recipe=first.recipe))
    journal.over(0, "finished")
    journal.session(2, time.time() - 500.0)
    journal.drawn(Assignment(trial=1, recipe=second.recipe))
    journal.epoch(1, 1, 0.5)

    @contextlib.contextmanager
    def more():  # type: ignore[no-untyped-def]
        journal.retried(1)
        journal.epoch(1, 2, 0.4)
        yield
        journal.over(1, second.status)

    view = Following([more(), driver])
    watch(sweep_store, view, poll_seconds=0.001)
    assert view.recalled == [first]
    assert 500.0 <= view.seconds_ago < 600.0
    assert view.started == [1]
    assert view.epochs == {1: [1, 2]}
    assert view.retried == [1]
    assert view.over == [second]
    assert len(records) == 5


def test_half_a_line_waits_for_its_other_half(sweep_store: Run) -> None:
    path = sweep_store.folder / "journal.jsonl"
    path.write_bytes(b'{"event": "retried", "at": 1, "trial": 1}\n{"event"')
    tail = JournalTail(path)
    assert list(tail.new_events()) == [RetriedTrial(at=1, trial=1)]
    assert list(tail.new_events()) == []
    with path.open("ab") as stream:
        stream.write(b': "over", "at": 2, "trial": 1, "status": "failed"}\n')
    assert list(tail.new_events()) == [EndedTrial(at=2, trial=1, status="failed")]


@pytest.mark.parametrize("junk", [b"no JSON\n", b"[1]\n"])
def test_a_damaged_journal_fails_in_one_line(junk: bytes, sweep_store: Run) -> None:
    path = sweep_store.folder / "journal.jsonl"
    path.write_bytes(junk)
    with pytest.raises(RuntimeError, match=r"cannot use .*journal.jsonl"):
        list(JournalTail(path).new_events())

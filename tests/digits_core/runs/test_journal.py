from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.runs.journal import FILE_NAME, Journal, read_journal

FIRST = Assignment(trial=0, recipe=Recipe(), label="the default", point={"model.name": "cnn"})
SECOND = Assignment(trial=1, recipe=Recipe().with_overrides({"training.seed": 1}))


def write_two_sessions(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.session(1, started_at=5.0)
        journal.drawn(FIRST, SECOND)
        journal.epoch(0, 1, 0.5)
        journal.epoch(1, 1, 0.7)
        journal.epoch(0, 2, 0.25)
        journal.over(0, "finished")
        journal.retried(1)
    with Journal(folder) as journal:
        journal.session(2, started_at=6.0)
        journal.epoch(1, 1, 0.7)
        journal.epoch(1, 2, 0.6)


def test_a_journal_reads_back_what_was_written(tmp_path: Path) -> None:
    assert read_journal(tmp_path).trials == {}
    write_two_sessions(tmp_path)
    history = read_journal(tmp_path)
    assert [trial.assignment for trial in history.trials.values()] == [FIRST, SECOND]
    assert [trial.nlls for trial in history.trials.values()] == [{1: 0.5, 2: 0.25}, {1: 0.7, 2: 0.6}]
    assert [trial.assignment.trial for trial in history.over] == [0]
    assert [(trial.assignment.trial, trial.retries) for trial in history.unfinished] == [(1, 1)]
    assert len(history.sessions) == 2


def test_working_time_begins_with_the_first_trial_of_a_session(tmp_path: Path) -> None:
    history = read_journal(tmp_path)
    history.sessions = [(0.0, 10.0), (100.0, 130.0), (200.0, 201.0)]
    assert history.seconds == 41.0
    assert history.working_seconds([4.0, 6.0, 120.0]) == 6.0 + 10.0 + 1.0


def test_a_torn_line_is_ignored_by_readers_and_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    write_two_sessions(tmp_path)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "epoch", "tri')
    assert len(read_journal(tmp_path).trials) == 2
    with Journal(tmp_path) as journal:
        journal.over(1, "stopped")
    assert path.read_bytes().startswith(whole + b'{"event": "over"')
    assert read_journal(tmp_path).unfinished == []


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"no JSON",
        b"{}",
        b'{"event": "epoch", "at": 1, "trial": 7, "epoch": 1, "nll": 1}',
        b"[" * 3000,
        b'{"event": "drawn", "at": 1, "trial": 7, "recipe": [], "label": "", "point": 3}',
        b'{"event": "epoch", "at": 1, "trial": 0, "epoch": 1e999, "nll": 1}',
        b'{"event": "epoch", "at": 1, "trial": 0, "epoch": 1, "nll": 1' + b"0" * 400 + b"}",
    ],
)
def test_a_damaged_journal_gives_a_one_line_error(line: bytes, tmp_path: Path) -> None:
    write_two_sessions(tmp_path)
    with (tmp_path / FILE_NAME).open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.raises(EnvironmentFailure, match=r"cannot use .*journal.jsonl .*start a new sweep") as caught:
        read_journal(tmp_path)
    assert "\n" not in str(caught.value)


def test_events_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    write_two_sessions(tmp_path)
    with (tmp_path / FILE_NAME).open("ab") as stream:
        stream.write(b'{"event": "applause", "at": 7}\n')
    assert len(read_journal(tmp_path).trials) == 2

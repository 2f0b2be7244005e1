import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from digits_core.runs.ledger import append_to_ledger, read_ledger


def _open_often(folder: Path, process: int) -> None:
    for trial in range(25):
        append_to_ledger(folder, f"by {process}", (trial,), "")


def test_ten_processes_lose_no_opening(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open_often, args=(tmp_path, number)) for number in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    openings = read_ledger(tmp_path, [])
    assert [opening.number for opening in openings] == list(range(1, 251))
    assert {(opening.purpose, opening.trials) for opening in openings} == {
        (f"by {process}", (trial,)) for process in range(10) for trial in range(25)
    }


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_where_nothing_may_be_written_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("digits_core.runs.ledger.opened_for_appending", refuse)
    with pytest.raises(
        EnvironmentFailure, match=r"ledger\.jsonl \(.*\), and the test set is not opened .*; copy .* --runs"
    ):
        append_to_ledger(tmp_path, "a test", (1,), "")

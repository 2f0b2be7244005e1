import multiprocessing
from pathlib import Path

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

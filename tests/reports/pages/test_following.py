import threading
from pathlib import Path

import pytest

from digits_core.errors import UsageError
from digits_core.runs.durable import write_atomically
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from reports.pages.following import REFRESH_SECONDS, follow_report
from tests.helpers.pages import Page


def refreshes(path: Path) -> list[str | None]:
    return [a.get("content") for tag, a in Page(path.read_text()).tags if a.get("http-equiv") == "refresh"]


def test_the_page_grows_with_the_run_and_ends_with_it(sweep_store: Run) -> None:
    late = sweep_store.trial(3).folder / "record.json"
    content = late.read_bytes()
    late.unlink()
    told: list[tuple[int, list[str | None]]] = []
    first_told, over = threading.Event(), threading.Event()

    def run() -> None:
        with sole_driver(sweep_store.folder):
            began.set()
            first_told.wait(60)
            write_atomically(late, content)  # as a driver does: the page is being written meanwhile
            over.wait(60)

    def on_page(path: Path, count: int) -> None:
        told.append((count, refreshes(path)))
        first_told.set()
        if count == 5:
            over.set()

    began = threading.Event()
    driver = threading.Thread(target=run)
    driver.start()
    began.wait(60)
    try:
        path = follow_report(sweep_store, None, "inline", on_page, poll_seconds=0.01)
    finally:
        first_told.set()
        over.set()
        driver.join()
    assert told == [(4, [str(REFRESH_SECONDS)]), (5, [str(REFRESH_SECONDS)])]
    assert refreshes(path) == []
    assert 'id="trial=3"' in path.read_text()


def test_the_page_of_an_ended_run_is_written_once(sweep_store: Run) -> None:
    path = follow_report(sweep_store, None, "inline", lambda path, count: pytest.fail("the run is not running"))
    assert refreshes(path) == []
    for record in sweep_store.ranked:
        (sweep_store.trial(record.trial).folder / "record.json").unlink()
    with pytest.raises(UsageError, match="no validated trial"):
        follow_report(sweep_store, None, "inline", lambda path, count: None)

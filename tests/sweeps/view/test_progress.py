import contextlib
import io
import os
from dataclasses import replace

import pytest
from rich.console import Console

from digits_core.runs.run import Run
from sweeps.view.progress import (
    LiveView,
    PlainView,
    Tally,
    block,
    describe,
    duration,
    make_view,
    progress_console,
    status_line,
)
from tests.helpers.runs import HOSTILE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (187, "3 min 07 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_tally_counts_and_ranks(sweep_store: Run) -> None:
    tally = Tally(trial_count=10, max_epochs=3)
    for record in sweep_store.records:
        tally.start(record.trial)
        tally.finish(record)
    tally.start(9)
    tally.running[9] = 2
    assert tally.over == {"finished": 3, "stopped": 1, "failed": 1}
    assert [record.trial for record in tally.top] == [record.trial for record in sweep_store.ranked]
    assert tally.running == {9: 2}
    assert tally.last_error == f"trial 4: RuntimeError: {HOSTILE}"
    line = status_line(tally)
    assert line.startswith("5 of 10 trials · 3 finished, 1 stopped, 1 failed · 1 running · ")
    assert line.endswith(f"(trial {sweep_store.ranked[0].trial})")


def test_forecast_waits_for_enough_trials(sweep_store: Run) -> None:
    tally = Tally(trial_count=100, max_epochs=3)
    tally.start(0)
    tally.finish(sweep_store.records[0])
    assert tally.seconds_left() is None


def test_nothing_is_animated_where_there_is_no_terminal(sweep_store: Run) -> None:
    stream = io.StringIO()
    view = make_view(Tally(trial_count=5, max_epochs=3), Console(file=stream, force_terminal=False))
    assert type(view) is PlainView
    for record in sweep_store.records:
        view.trial_started(record.trial)
        view.trial_advanced(record.trial, 1)
        view.trial_over(record)
        view.tick()
    view.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2  # the failure and the last state, but no line per trial
    assert lines[0] == f"  failed: trial 4: RuntimeError: {HOSTILE}"
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_pipe_does_not_end_the_sweep(
    sweep_store: Run, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    read_end, write_end = os.pipe()
    stream = os.fdopen(write_end, "w", buffering=1)
    view = make_view(Tally(trial_count=5, max_epochs=3), progress_console(stream))
    assert type(view) is (LiveView if terminal else PlainView)
    os.close(read_end)
    for record in sweep_store.records:
        view.trial_over(record)
        view.tick()
    view.close()
    with pytest.raises(BrokenPipeError):
        stream.write("somebody?\n")
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_live_view_cleans_up_after_itself(sweep_store: Run) -> None:
    stream = io.StringIO()
    view = make_view(Tally(trial_count=5, max_epochs=3), Console(file=stream, force_terminal=True, width=100))
    assert isinstance(view, LiveView)
    view.trial_started(0)
    view.trial_over(sweep_store.records[0])
    view.tick()
    view.close()
    view.tick()  # late events of a stopped sweep are harmless
    assert "1 of 5 trials" in stream.getvalue().splitlines()[-1]


def test_block_shows_the_best_five_with_intervals(sweep_store: Run) -> None:
    tally = Tally(trial_count=10, max_epochs=3)
    best = sweep_store.ranked[0]
    for trial in range(7):
        tally.finish(replace(best, trial=trial))
    console = Console(file=io.StringIO(), width=120)
    console.print(block(tally))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(describe(best)) == 5
    assert "[9" in text or "[8" in text  # the interval


def test_rates_and_disk_use_are_shown_once_enough_trials_have_ended(
    sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("sweeps.view.tally.time.monotonic", lambda: now)
    tally = Tally(trial_count=10, max_epochs=3, concurrency=2, folder=sweep_store.folder)
    tally.recall(sweep_store.records)
    tally.start(5)
    assert (tally.trials_a_minute, tally.training_share, tally.busy_seconds) == (None, None, 0.0)
    now += 30.0
    for record in sweep_store.records:
        tally.finish(record)
    busy = sum(record.busy_seconds for record in sweep_store.records)
    assert tally.trials_a_minute == 10.0
    assert tally.training_share == pytest.approx(busy / 60.0)
    assert "10.0 a minute" in status_line(tally)
    watched = Tally(trial_count=10, max_epochs=3, started_at=now)
    watched.recall([], seconds_ago=120.0)
    for record in sweep_store.records:
        watched.finish(record)
    assert watched.trials_a_minute == 2.5
    tally.measure_disk()
    assert tally.disk_bytes == sum(path.lstat().st_size for path in sweep_store.folder.rglob("*") if path.is_file())
    (sweep_store.folder / "more").write_bytes(bytes(1000))
    before = tally.disk_bytes
    tally.measure_disk()
    assert tally.disk_bytes == before  # not measured at every step
    now += 11.0
    tally.measure_disk()
    assert tally.disk_bytes == before + 1000

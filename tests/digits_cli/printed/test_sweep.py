import shlex
import sys

import pytest

from digits_cli.printed.sweep import SweepOutcome, sweep_document, sweep_lines
from digits_core.records import RunSummary
from digits_core.runs.command_line import resume_command
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from tests.helpers.runs import opened_for, reread

SUMMARY = RunSummary(seconds=63.2, training_share=0.8, interrupted=False)


def test_resume_command_names_the_runs_folder_unless_it_is_where_commands_look(
    sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = sweep_store.folder.parent
    assert resume_command(sweep_store.folder) == f"digits resume tiny --runs {shlex.quote(str(runs))}"
    monkeypatch.setenv("DIGITS_RUNS", str(runs))
    assert resume_command(sweep_store.folder) == "digits resume tiny"


def test_lines_and_document_agree(sweep_store: Run) -> None:
    leader = sweep_store.ranked[0]
    RunWriter(sweep_store.folder).write_summary(SUMMARY)
    sweep_store = opened_for(sweep_store)
    assert leader.validation is not None
    outcome = SweepOutcome(run=sweep_store, report=None)
    document, lines = sweep_document(outcome), dict(sweep_lines(outcome))
    assert document["best"]["trial"] == leader.trial
    assert lines["leader"].startswith(f"trial {leader.trial}: ")
    assert f"{leader.validation.error_count} of 360 wrong" in lines["  validation"]
    assert f"{document['best']['test']['error_count']} of 359 wrong" in lines["  sealed test"]
    assert document["trials"] == {"finished": 3, "stopped": 1, "failed": 1}
    assert lines["trials"] == (
        "3 finished, 1 stopped early, 1 failed in 1 min 03 s;"
        " 80% of worker time since the first trial started was spent training"
    )


def test_an_interrupted_sweep_says_how_to_resume(sweep_store: Run) -> None:
    (sweep_store.trial(4).folder / "record.json").unlink()
    RunWriter(sweep_store.folder).write_summary(RunSummary(seconds=1.0, training_share=0.5, interrupted=True))
    outcome = SweepOutcome(run=reread(sweep_store), report=sweep_store.folder / "report.html")
    lines = dict(sweep_lines(outcome))
    assert lines["interrupted"] == "4 of 5 trials have ended; resuming continues the rest"
    assert lines["resume"].startswith("digits resume tiny --runs ")
    assert lines["  sealed test"] == "not opened, because the sweep was interrupted"
    assert list(lines)[-1] == "next"


def test_commands_name_the_program_as_it_was_called(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/digits", "sweep"])
    monkeypatch.setenv("PATH", "")
    assert resume_command(sweep_store.folder).startswith(".venv/bin/digits resume ")

"""What is known of an interrupted run: its journal, checked against its records."""

from digits_core.runs.durable import unusable
from digits_core.runs.journal import FILE_NAME, History, Journal, read_journal
from digits_core.runs.run import Run


def known_history(run: Run) -> History:
    """The journal, corrected by the records: a trial has ended only if its record is complete.

    A trial whose record is gone is trained again. Raises EnvironmentFailure if the journal cannot be read, or if it
    lacks a trial that has a record, whose number would be given to another trial. Reads only.
    """
    history = read_journal(run.folder)
    sealed = {record.trial: record.status for record in run.records}
    untold = sorted(set(sealed) - set(history.trials))
    if untold:
        raise unusable(run.folder / FILE_NAME, f"it lacks trial {untold[0]}, which has ended")
    for number, trial in history.trials.items():
        if trial.status is not None and number not in sealed:
            trial.status = None
            history.order = [event for event in history.order if event != (number, None)]
        elif number in sealed:
            trial.status = sealed[number]
    return history


def recovered(run: Run, journal: Journal) -> History:
    """`known_history`, after writing the journal lines that the last driver did not get to write."""
    history = known_history(run)
    told = {number for number, epoch in history.order if epoch is None}
    for trial in history.over:
        if trial.assignment.trial not in told:
            journal.over(trial.assignment.trial, str(trial.status))
    return history

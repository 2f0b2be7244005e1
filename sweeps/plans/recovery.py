"""What is known of a run that was cut off: its journal and its records, held against each other."""

from digits_core.runs.durable import unusable
from digits_core.runs.journal import FILE_NAME, History, Journal, read_journal
from digits_core.runs.store import SweepStore


def known_history(store: SweepStore) -> History:
    """The journal, corrected by the records: a sealed one is what makes a trial over.

    A trial whose record is gone is trained again. Raises EnvironmentFailure for a journal that does not tell of a
    record that is here (its number would be given to another trial), and for one that cannot be read. Reads only.
    """
    history = read_journal(store.folder)
    sealed = {record.trial: record.status for record in store.records()}
    untold = sorted(set(sealed) - set(history.trials))
    if untold:
        raise unusable(store.folder / FILE_NAME, f"it does not tell of trial {untold[0]}, which is over")
    for number, trial in history.trials.items():
        if trial.status is not None and number not in sealed:
            trial.status = None
            history.order = [event for event in history.order if event != (number, None)]
        elif number in sealed:
            trial.status = sealed[number]
    return history


def recovered(store: SweepStore, journal: Journal) -> History:
    """The same, once what the last driver could not write down any more is written."""
    history = known_history(store)
    told = {number for number, epoch in history.order if epoch is None}
    for trial in history.unfinished:
        record = store.trial(trial.assignment.trial).read_progress()
        if record is not None and record.status == "finished":
            store.trial(record.trial).complete(record)
            trial.status = record.status
    for trial in history.over:
        if trial.assignment.trial not in told:
            journal.over(trial.assignment.trial, str(trial.status))
    return history

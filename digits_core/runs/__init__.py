"""What is kept of a run: its folder, records, journal, ledger and lock. Imports neither torch nor Ray.

command_line.py      the commands that results and pages suggest running next
durable.py           atomic writes, checked reads, and the error for a damaged file
ensemble_records.py  what is kept of an ensemble
journal.py           the append-only file that resuming reads
ledger.py            one line for every opening of the sealed test set
ownership.py         the lock that allows one driver per run
run.py               a run's folder on disk: its layout, and reading it
transfer_records.py  what is kept of models tested on other data sets
trial_folder.py      the files of one trial
writer.py            writing a run's folder
"""

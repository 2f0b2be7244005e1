"""What people see of a run in progress.

progress.py    the live view of a sweep, and the epoch progress bar of a training run
run_state.py   the state of runs, read from their folders; removing a run
tally.py       a run's counts, rates and best trials, from its events
watching.py    `digits watch`: a run's live view in another terminal
"""

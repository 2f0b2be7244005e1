"""Plans what a run will do: checks everything and loads the data before any worker starts.

companies.py      which trials are trained together, as one network
comparing.py      `digits compare`: named recipes on equal footing
config.py         what the user asks for, as checked dataclasses; quick to import
confirming.py     `digits confirm`: a sweep's best recipes on fresh seeds
ending.py         what ends a search early: a time budget, a target accuracy
first_trials.py   the trials that run before sampling starts
following.py      what follows a search in the same command: --then
headers.py        a run's header, and the data of a stored run
planning.py       plans a new sweep, or the rest of an interrupted run
timing.py         which runs of a confirmation there is time for
recovery.py       what is known of an interrupted run, from its journal and its records
"""

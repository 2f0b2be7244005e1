"""What the commands print: one JSON document for `--json`, labelled lines for people.
Reading stored runs must stay quick, so what loads torch or Ray is imported inside functions.

comparison.py    compare
datasets.py      datasets show, check and split
delivering.py    export and transfer
doctor.py        doctor
doubts.py        doubts
ensemble.py      ensemble
following.py     sweep --then
judge.py         judge
leaderboard.py   leaderboard and confirm, with --refit too
moving.py        push, pull and ls --at
predict.py       predict
runs.py          ls, show, watch and rm
sweep.py         sweep, --dry-run too; how scores and spreads are written in a line
training.py      train, replay and recipes
versus.py        report of several runs
"""

"""Measurements, mostly side by side with the usual way in one run. `make bench` runs some of them.

engine.py            seconds per epoch: this engine against the usual training script
hands.py             made-up handwriting: digits as pen strokes of several authors
handwriting.py       accuracy and speed of `digits predict` on made-up pictures
judging.py           time and memory of the leaderboard and of greedy selection
learning_curves.py   the table of learning curves that search_quality.py replays
made_up.py           sweeps with made-up predictions
members.py           ways to choose the members of an ensemble, on stored validation predictions
memory.py            private memory of a worker
overhead.py          what a sweep costs besides training, against Ray Tune's tutorial
papers.py            made-up paper, scans and photographs for the handwriting
report.py            time and size of the report, and its speed in a browser
search_quality.py    epochs that each search and scheduler needs to find good recipes
stacking.py          milliseconds a step per network, when several copies are trained as one
sweeps.py            whole sweeps against the tutorials of Ray Tune and Optuna
"""

"""Judges stored runs. Arrays in, numbers out: no torch, Ray or Optuna.

candidates.py            a run's candidates, each with its runs over seeds
leaderboard.py           candidates ranked, with tests of which differences are real; duels of two
leaderboard_document.py  a leaderboard as JSON values
comparison.py            one row per recipe of a comparison, and our figures beside published ones
objectives.py            what a search can optimise, and the Pareto front
ensemble.py              ensembles: weights, votes, stacking, calibration, diversity of the members
label_doubt.py           images whose label may be wrong
resampling.py            the bootstrap over images: differences, ranks, what picking the best is worth
stats.py                 intervals and tests for accuracies and their differences
"""

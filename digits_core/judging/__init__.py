"""Judges stored runs. Arrays in, numbers out: no torch, Ray or Optuna.

answers.py               what rankings and tests need of a recipe's predictions
candidates.py            a run's candidates, each with its runs over seeds; which of them leads
paired.py                tests on the same images: several models against the first, duels of two
leaderboard.py           candidates ranked, with tests of which differences are real
leaderboard_document.py  a leaderboard as JSON values
published.py             our figures beside published ones
objectives.py            what a search can optimise, and the Pareto front
ensemble.py              ensembles: weights, votes, stacking, calibration, diversity of the members
label_doubt.py           images whose label may be wrong
resampling.py            the bootstrap over images: differences, ranks, what picking the best is worth
stats.py                 intervals and tests for accuracies and their differences
"""

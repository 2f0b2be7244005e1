"""Chooses the next recipe and stops weak trials: Optuna's samplers and Ray Tune's schedulers.

population.py   population-based training
reported.py     the values that a worker reports after every epoch
schedulers.py   early stopping
searchers.py    Ray Tune's searchers: the next recipe from a study or from a list
study.py        the Optuna study that a search draws from
study_copy.py   a copy of the trials in a database, for optuna-dashboard
"""

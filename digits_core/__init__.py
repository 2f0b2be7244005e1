"""The core: recipes, data, training, evaluation and stored runs. Importing it loads nothing heavy.

environment.py  the machine and the package versions, as recorded with every run
errors.py       the two kinds of errors that users see
metrics.py      error count, NLL, Brier score and calibration of class probabilities
recipe.py       a recipe: everything that decides how one network is trained
recipes.py      the named recipes, and best-parameters files
records.py      what is stored of a run and its trials, as plain values
stored.py       builds such values from JSON, checked by the types of their fields
data/           data sets as arrays, with their splits
tracking/       stored runs told to TensorBoard, MLflow and W&B
delivery/       trained models in use: reading pictures, exports, the server
handwriting/    from a picture to framed digits
inference/      stored models that predict; the only opener of the sealed test set
judging/        intervals, tests, the leaderboard, ensembles
outside/        predictions of models that were trained elsewhere
remote/         runs in a bucket
runs/           a run's folder: records, journal, ledger, lock
training/       networks, losses, optimizers and the training loop
"""

DEFAULT_RUNS = "runs"
"""Default folder for runs, relative to the working directory."""

"""Search: Ray Tune runs the trials, Optuna chooses their recipes."""

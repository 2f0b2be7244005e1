"""What chooses the next recipe and stops weak trials: Optuna's samplers and Ray Tune's schedulers."""

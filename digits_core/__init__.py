"""Recipes, data, the training engine, metrics and the store. Imports nothing heavy by itself."""

DEFAULT_RUNS = "runs"
"""The folder, relative to the working directory, that holds the sweeps unless the user names another."""

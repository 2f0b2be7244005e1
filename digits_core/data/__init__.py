"""Data sets as arrays: published ones, your own, mixtures, splits, folds, corruptions."""

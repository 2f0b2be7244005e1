"""Intervals, tests, resampling, the leaderboard, ensembles, label doubts: arrays in, numbers out."""

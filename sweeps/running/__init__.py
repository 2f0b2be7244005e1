"""Runs what was planned."""

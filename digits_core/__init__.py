"""Recipes, data, the training engine, metrics and the store. Imports nothing heavy by itself."""

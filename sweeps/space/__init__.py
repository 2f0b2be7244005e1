"""Search spaces, and the recipe that each trial gets.

assignments.py   a run's recipes: drawn by a search, or given as a list
generations.py   how a population's trials are numbered
known_good.py    the recipes that a sweep begins with
spaces.py        search spaces and their points; the default space
toml_file.py     a search space as TOML
"""

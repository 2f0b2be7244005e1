"""Models trained elsewhere: their predictions are read, checked and judged beside a run's own. Neither torch nor Ray.

predictions.py   predictions from NPZ, CSV and Parquet files; their images put in order
tables.py        which column of a table is what
values.py        which values are probabilities, digits and positions
images.py        what they are judged on, and its labels
judged.py        one ranking of models made elsewhere and a run's own
split.py         a data set's split as a file, to train on elsewhere
"""

"""Data sets as arrays: published ones and the user's own, mixed, split, corrupted. Knows no models, loads no torch.

arrays.py       the user's own as arrays: tables and NPZ files
checks.py       checks before training: class counts, unusable files, duplicates
corruptions.py  the fifteen corruptions of MNIST-C
datasets.py     all data sets by name, and mixtures of them
digits.py       the `Digits` value, and its training, validation and sealed test sets
files.py        published files: found, downloaded, verified
folds.py        cross-validation folds
further.py      loading USPS, QMNIST, EMNIST digits and KMNIST
own.py          the user's own by name; folders of pictures
"""

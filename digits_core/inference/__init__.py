"""Puts stored networks to use: predicts, opens the sealed test set, looks inside. Knows torch, but no Ray or Optuna.

ensembling.py    `digits ensemble`: combines the best models and measures what that gains
classifier.py    a stored network or ensemble that predicts new images
stored_model.py  one trained network with its stored weights, also with test-time augmentation
poses.py         the poses in which test-time augmentation shows an image
validated.py     stored networks asked about the validation images again, with test-time augmentation
sealed.py        the only code that opens the sealed test set
inside.py        a network's layers, filters, feature maps and embedding
projection.py    vectors on a plane: principal components and t-SNE
"""

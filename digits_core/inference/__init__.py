"""Stored networks and ensembles that answer; the only opener of the sealed test set; what is inside a network."""

"""Runs kept in an object store, worked on through a local copy. Imports neither torch nor Ray.

local_copy.py    the local copy: its files, its notes of the last synced state, its lock
mirror.py        downloads and uploads what changed
mirror_rules.py  which side's version of a file wins; no traffic
object_store.py  one folder in a bucket: list, read, write, remove
"""

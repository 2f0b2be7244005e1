"""Runs kept elsewhere: in a bucket or another folder. Imports neither torch nor Ray.

along.py     `--push`: sends a run while a command grows it
bucket.py    one folder in a bucket, or on disk: read, list, write, write unless somebody else has
copies.py    push, pull, list and remove runs
lease.py     who may change a run there: renewed by a heartbeat, expires without one
manifest.py  which files are a run, here and there, and what has changed since both sides agreed
"""

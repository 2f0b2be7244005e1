"""Runs kept elsewhere: in a bucket or another folder. Imports neither torch nor Ray.

along.py     `--push`: sends a run while a command grows it
bucket.py    one folder in a bucket, or on disk: read, list, write, write unless somebody else has
copies.py    push, pull and list runs; a manifest says which files belong together
lease.py     who may change a run there: renewed by a heartbeat, expires without one
"""

"""Stored arrays in, one self-contained HTML page out. Loads neither torch nor ray."""

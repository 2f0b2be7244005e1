"""Where this checkout lies, and its packages."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUSE = ("digits_cli", "digits_core", "reports", "sweeps")

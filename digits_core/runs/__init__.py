"""What is kept of a run: its folder, records, journal, ledger and lock."""

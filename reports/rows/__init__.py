"""What is on a page, as plain rows."""

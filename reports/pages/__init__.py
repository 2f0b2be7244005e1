"""Rows and figures as one HTML file."""

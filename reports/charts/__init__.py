"""Rows as Plotly figures."""

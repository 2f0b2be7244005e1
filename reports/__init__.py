"""Stored runs in, self-contained HTML pages out. Loads neither torch nor Ray, and trains nothing.

rows/        what a page shows, as plain rows: no HTML, no figures
charts/      rows as Plotly figures
pages/       rows and figures as one HTML file
templates/   the pages' HTML (Jinja), style and scripts
"""

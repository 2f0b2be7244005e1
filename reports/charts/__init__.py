"""Rows as Plotly figures. Imports no pages.

models.py           charts about models: learning curves, calibration, embeddings, disagreement of ensemble members
page.py             all charts of a run's page, by name
plotly_library.py   how a page gets Plotly: packed, beside it, or from the network
search.py           charts about a search: history, timeline, rungs, importance, slices, costs
style.py            the palette and the layout that all charts share
"""

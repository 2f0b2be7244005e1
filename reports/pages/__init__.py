"""Rows and figures as one self-contained HTML file.

following.py   the page of a run in progress, rewritten whenever a trial ends
plain.py       pages without charts or scripts: data sets, transfer, pictures that were read
report.py      the page of one run, and what all pages share: templates, assets, checks of the output path
versus.py      the page of several runs side by side
"""

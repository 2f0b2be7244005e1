"""What a page shows, as plain rows: numbers, texts and arrays, no HTML. Imports neither charts nor pages.

answers.py      the predictions of a run's models, and how many of them miss an image
dataset.py      a data set: images per digit, and examples
document.py     the JSON document inside a page, written and read back
frames.py       a run as flat tables: leaderboard, curves, predictions
judged.py       models trained elsewhere beside a run's
glance.py       the first screen of a run's page; accuracies with their intervals on one axis
importance.py   how much each searched field mattered
inside.py       the inside of a network: filters, feature maps, embeddings
pictures.py     all images of a page in one PNG
reading.py      pictures that a model read: boxes, what the network saw, similar training images
search.py       how a search went: history, timeline, rungs, costs
tables.py       everything on a run's page, collected from its folder
verdict.py      what a page says in words: title, verdict, whether it is real
versus.py       several runs side by side
views.py        one model on one set of images: confusion, mistakes, classes, calibration
"""

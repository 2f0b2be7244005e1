"""What happens once a run's trials have ended.

ensembling.py   `digits ensemble`: combines the best models and measures what that gains
insight.py      stores the leader's filters, feature maps and embeddings for the report
opening.py      opens the sealed test set for named candidates; writes the leader's recipe to a file
"""

"""What happens once a run's trials have ended.

finish.py    opens the sealed test set for what the run was made for, keeps the leader's recipe, looks inside
insight.py   stores the leader's filters, feature maps and embeddings for the report
"""

"""`digits track`: stored runs told to the tools in which people keep their history. Reads runs, and no network.

story.py           a run as such a tool keeps it: the run, its trials and ensemble, with settings, curves and files
to_tensorboard.py  as TensorBoard's event files
to_mlflow.py       to an MLflow server or store
to_wandb.py        to Weights & Biases, online or offline
"""

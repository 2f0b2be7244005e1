"""Trains one recipe, on a CPU or a GPU. Knows torch, but no stored runs, Ray or Optuna.

copies.py            what is trained: a recipe and its images on a device, and what has come of it
engine.py            the only training loop: one network, or several copies of a recipe as one
stacking.py          several networks of one architecture as one; which of them pay
crew.py              all networks of a trial or a company: stacked, one after another or side by side
cross_validation.py  one network per fold, scored out of fold
models.py            the architectures by name, preprocessing, initialisation
founding.py          the networks of the scripts this project grew out of
augment.py           augmentation with random parameters per image
losses.py            losses by name
optim.py             optimizers and learning-rate schedules by name, the weight average
fast_steps.py        steps without overhead: CUDA graphs on a GPU, freed memory kept on a CPU
evaluate.py          from images to class probabilities
state.py             saves and restores a training run in progress
device.py            which device a run uses, and what it can do
gpu_memory.py        how much GPU memory a recipe takes
"""

"""The same LeNets on MNIST, two epochs each, no early stopping: this project against the tutorials, in one run.

This project runs `digits sweep --configs`; Ray Tune follows its PyTorch tutorial (DataLoaders, one processor per trial,
a report and a checkpoint per epoch); Optuna follows its PyTorch example (one trial after another, each on all
processors). Wall times are those of whole programs, including imports and the start of Ray; all three use the same
55,000 + 5,000 images.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from digits_core.data.files import data_folder
from digits_core.environment import hardware_name, processor_count

LEARNING_RATES, BATCH_SIZES = (0.003, 0.01, 0.03, 0.1), (32, 64, 128, 256)
CONFIGS = [
    {
        "model.name": "lenet", "model.dropout": 0.0, "training.epochs": 2, "training.batch_size": batch_size,
        "optimizer.name": "sgd", "optimizer.learning_rate": learning_rate, "optimizer.momentum": 0.9,
        "optimizer.nesterov": False, "optimizer.weight_decay": 0.0, "schedule.name": "constant",
        "augmentation.rotation_degrees": 0.0, "augmentation.shear_degrees": 0.0, "augmentation.zoom_fraction": 0.0,
        "augmentation.shift_fraction": 0.0,
    }
    for learning_rate in LEARNING_RATES
    for batch_size in BATCH_SIZES
]  # fmt: skip

USUAL = """
import os, sys, tempfile
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # the loopback interface only, as in all of this project
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

def epochs(config):
    data = datasets.MNIST(DATA, train=True, transform=transforms.ToTensor())
    train = DataLoader(Subset(data, range(55_000)), batch_size=config["batch_size"], shuffle=True)
    validation = DataLoader(Subset(data, range(55_000, 60_000)), batch_size=config["batch_size"])
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=config["lr"], momentum=0.9)
    for epoch in range(2):
        net.train()
        for images, labels in train:
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        net.eval()
        loss = correct = 0
        with torch.no_grad():
            for images, labels in validation:
                logits = net(images)
                loss += F.cross_entropy(logits, labels, reduction="sum").item()
                correct += (logits.argmax(1) == labels).sum().item()
        yield net, optimizer, loss / 5_000, correct / 5_000
"""

TUNE = (
    USUAL
    + """
import ray
from ray import tune
def trainable(config):
    for net, optimizer, loss, accuracy in epochs(config):
        with tempfile.TemporaryDirectory() as folder:
            torch.save((net.state_dict(), optimizer.state_dict()), os.path.join(folder, "checkpoint.pt"))
            tune.report({"loss": loss, "accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))
ray.init(num_cpus=PROCESSORS, include_dashboard=False, log_to_driver=False)
tuner = tune.Tuner(
    tune.with_resources(trainable, {"cpu": 1}),
    param_space={"lr": tune.grid_search(LEARNING_RATES), "batch_size": tune.grid_search(BATCH_SIZES)},
    tune_config=tune.TuneConfig(metric="loss", mode="min"),
    run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(dir=os.getcwd())),
)
print("accuracy", tuner.fit().get_best_result("accuracy", "max").metrics["accuracy"])
ray.shutdown()
"""
)

OPTUNA = (
    USUAL
    + """
import optuna
def objective(trial):
    config = {
        "lr": trial.suggest_categorical("lr", LEARNING_RATES),
        "batch_size": trial.suggest_categorical("batch_size", BATCH_SIZES),
    }
    for epoch, (_, _, loss, accuracy) in enumerate(epochs(config)):
        trial.report(accuracy, epoch)
    return accuracy
grid = {"lr": LEARNING_RATES, "batch_size": BATCH_SIZES}
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid, seed=0))
study.optimize(objective, n_trials=len(LEARNING_RATES) * len(BATCH_SIZES))
print("accuracy", study.best_value)
"""
)


def usual(script: str, folder: str) -> float:
    """Wall time of a tutorial's script, in seconds."""
    names = {
        "DATA": str(data_folder()), "PROCESSORS": processor_count(), "LEARNING_RATES": list(LEARNING_RATES),
        "BATCH_SIZES": list(BATCH_SIZES),
    }  # fmt: skip
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", head + script], check=True, capture_output=True, cwd=folder)
    return time.perf_counter() - began


def ours(folder: str, count: int) -> float:
    """Wall time of `digits sweep --configs` in seconds, including the leader's test score and the report."""
    path = Path(folder, "configs.jsonl")
    path.write_text("\n".join(map(json.dumps, CONFIGS)))
    digits = Path(sys.executable).with_name("digits")
    began = time.perf_counter()
    ended = subprocess.run(
        [digits, "sweep", "--dataset", "mnist", "--configs", path, "--name", f"r{count}", "--runs", folder, "--json"],
        check=True, capture_output=True, text=True, env={**os.environ, "DIGITS_DATA_DIR": str(data_folder())},
    )  # fmt: skip
    seconds = time.perf_counter() - began
    assert json.loads(ended.stdout)["trials"]["finished"] == len(CONFIGS)
    return seconds


def main() -> None:
    """Measure all three, one after another, in every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    print(f"{hardware_name()}; {len(CONFIGS)} LeNets, 2 epochs of 55,000 images each")
    to_tune, to_optuna = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count in range(rounds):
            here, tune, optuna = ours(folder, count), usual(TUNE, folder), usual(OPTUNA, folder)
            to_tune.append(here / tune)
            to_optuna.append(here / optuna)
            print(f"this project {here:.0f} s, Ray Tune {tune:.0f} s, Optuna {optuna:.0f} s", flush=True)
    print(f"to Ray Tune {statistics.median(to_tune):.2f}, to Optuna {statistics.median(to_optuna):.2f} (n = {rounds})")


if __name__ == "__main__":
    main()

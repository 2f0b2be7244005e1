from pathlib import Path

import pytest

from tests.helpers.command_line import run


@pytest.fixture(scope="session")
def mnist_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a network that was trained on MNIST for some seconds."""
    runs = tmp_path_factory.mktemp("mnist") / "runs"
    code, _, err = run("train", "speedrun-99", "--name", "quick", "--runs", str(runs), "--json")
    assert code == 0, err
    return runs

"""Shared fixtures: a tiny real split, a tiny real sweep trained without Ray, one Ray for the whole run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from digits_core.data.datasets import MNIST_FILES, OPTDIGITS_FILES, load_digits
from digits_core.data.digits import Digits, LabelledImages, Split, split_digits
from digits_core.data.files import is_at_hand
from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from sweeps.running.objective import failed_record
from tests.helpers.command_line import run
from tests.helpers.object_stores import CREDENTIALS, s3_address, s3_url  # noqa: F401 - fixtures
from tests.helpers.once import made_once
from tests.helpers.runs import HOSTILE, make_header, train_into

# An example's wall time says nothing about the code: on a busy machine any of them may take long.
hypothesis.settings.register_profile("digits", deadline=None)
hypothesis.settings.load_profile("digits")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need real data, with the reason, if the data is not available."""
    if all(is_at_hand(file) for file in (*MNIST_FILES, *OPTDIGITS_FILES)):
        return
    reason = "the MNIST and optdigits files are not in the data folder (set DIGITS_DATA_DIR)"
    for item in items:
        if item.get_closest_marker("mnist"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_as_at_a_terminal() -> None:
    # A shell starts background jobs, perhaps these tests too, with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # As in a worker, so that results are bit-identical on any machine.
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _few_points() -> Iterator[None]:
    # t-SNE of 600 took a tenth of the whole test run. The projections themselves: inference/test_projection.py.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweeps.finishing.insight.POINTS", 60)
        yield


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The images of scikit-learn."""
    return load_digits("sklearn-digits")


@pytest.fixture(scope="session")
def split(digits: Digits) -> Split:
    """Their training and validation sets."""
    return split_digits(digits)


@pytest.fixture(scope="session")
def tiny_split(split: Split) -> Split:
    """200 training and 100 validation images, read-only as Ray would share them."""

    def cut(part: LabelledImages, count: int) -> LabelledImages:
        images, labels = part.images[:count].copy(), part.labels[:count].copy()
        images.setflags(write=False)
        labels.setflags(write=False)
        return LabelledImages(images=images, labels=labels)

    return Split(
        train=cut(split.train, 200),
        validation=cut(split.validation, 100),
        validation_indices=split.validation_indices[:100],
        split_id="tiny",
    )


@pytest.fixture(scope="session")
def _trained_sweep(tmp_path_factory: pytest.TempPathFactory, digits: Digits, split: Split) -> Path:
    """Three trained trials, one stopped early, one failed with a hostile error."""

    def make(folder: Path) -> None:
        store = RunWriter.create(folder, make_header(digits, split), split)
        base = Recipe().with_overrides({"training.epochs": 3, "model.width": 8})
        train_into(store, split, 0, base, 3)
        train_into(store, split, 1, base.with_overrides({"model.name": "mlp", "training.seed": 1}), 3)
        train_into(store, split, 2, base.with_overrides({"training.seed": 2}), 3)
        train_into(store, split, 3, base.with_overrides({"model.name": "lenet", "training.seed": 3}), 1)
        RunWriter(store.folder).trial(4).complete(
            failed_record(Assignment(trial=4, recipe=base), 1.0, f"Traceback\nRuntimeError: {HOSTILE}"), {}
        )

    return made_once(tmp_path_factory, "trained", make) / "tiny"


@pytest.fixture
def sweep_store(_trained_sweep: Path, tmp_path: Path) -> Run:
    """A private copy of the small trained sweep, in tmp_path/runs/tiny."""
    shutil.copytree(_trained_sweep, tmp_path / "runs" / "tiny")
    return Run(tmp_path / "runs" / "tiny")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray per test process, with two slots and a fictitious GPU for the tests of GPU sharing."""
    from sweeps.running.ray_session import local_ray
    from sweeps.running.scratch import scratch_folder

    # Often set on cluster and container hosts; a trial must still use one thread.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")
        for name, value in CREDENTIALS.items():  # workers inherit the environment in which Ray starts
            patch.setenv(name, value)
        with scratch_folder() as folder, local_ray(folder, 2, gpu_count=1):
            yield


@pytest.fixture
def random_probabilities() -> np.ndarray:
    """Probabilities of four models that sum to one, (4, 200, 10)."""
    raw = np.random.default_rng(0).gamma(0.3, size=(4, 200, 10)) + 1e-6
    return raw / raw.sum(axis=2, keepdims=True)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate, empty data folder."""
    folder = tmp_path / "data"
    monkeypatch.setitem(os.environ, "DIGITS_DATA_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def mnist_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a network, `quick`, that was trained on MNIST for some seconds, and the command's document."""

    def make(folder: Path) -> None:
        code, out, err = run(
            "train", "speedrun-99", "--epochs", "1", "--name", "quick", "--runs", str(folder), "--json"
        )
        assert code == 0, err
        (folder / "document.json").write_text(out)

    return made_once(tmp_path_factory, "mnist", make)


@pytest.fixture
def every_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is kept after every epoch."""
    monkeypatch.setattr("sweeps.running.objective.SECONDS_BETWEEN_STATES", 0.0)


@pytest.fixture
def threads_kept() -> Iterator[None]:
    """Replaying sets the number of threads of this process; afterwards it is what it was."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands train in this process instead of on Ray."""
    from tests.helpers.executors import InThisProcess

    monkeypatch.setattr("sweeps.running.runner.OnRay", InThisProcess)

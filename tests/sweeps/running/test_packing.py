from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from digits_core.data.digits import Split
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.recipe import Recipe
from digits_core.records import Assignment
from digits_core.training.copies import DeviceSplit
from digits_core.training.gpu_memory import free_bytes, peak_bytes
from sweeps.plans.config import AUTO, parse_gpus_per_trial
from sweeps.plans.planning import plan_sweep
from sweeps.running import packing
from sweeps.running.on_ray import reservation, started_together
from sweeps.running.runner import run_trials
from sweeps.space.assignments import Drawn, Given
from sweeps.space.known_good import default_recipe
from sweeps.space.spaces import Space, default_space, narrowed
from tests.helpers.sweeps import Recorder, config

GB = 10**9


def drawn(space: Space) -> Drawn:
    return Drawn(
        base=default_recipe("cuda", 28, 6), space=space, seed=0, search="tpe", scheduler="asha",
        first=(Assignment(trial=0, recipe=default_recipe("cuda", 28, 6)),),
    )  # fmt: skip


def test_of_every_architecture_the_largest_that_could_be_drawn_is_measured() -> None:
    _, space = default_space("cuda", 28)
    largest = packing.largest_recipes(drawn(space))
    assert set(largest) == {"cnn", "resnet", "lenet", "mlp", "simple-cnn"}
    assert {recipe.training.batch_size for recipe in largest.values()} == {1024}
    assert {name: largest[name].model.width for name in ("cnn", "resnet")} == {"cnn": 192, "resnet": 192}
    assert largest["mlp"].model.hidden_units == 512
    assert largest["cnn"].model.kernel_size == 7
    fixed = packing.largest_recipes(drawn(narrowed(space, {"model.name": "lenet", "training.batch_size": 64})))
    assert fixed["lenet"].training.batch_size == 64
    assert set(fixed) == {"lenet", "resnet"}  # resnet is trial 0's


def test_of_a_list_the_largest_of_each_architecture_is_measured() -> None:
    small = Recipe().with_overrides({"training.batch_size": 32, "model.width": 64})
    wide = Recipe().with_overrides({"training.batch_size": 128, "model.width": 32})
    mlp = Recipe().with_overrides({"model.name": "mlp"})
    given_recipes = Given(assignments=tuple(Assignment(trial=i, recipe=r) for i, r in enumerate((small, mlp, wide))))
    assert packing.largest_recipes(given_recipes) == {"cnn": wide, "mlp": mlp}


@given(
    peaks=st.dictionaries(st.sampled_from(["cnn", "lenet", "mlp"]), st.integers(1, 200 * GB), min_size=1),
    free=st.integers(GB, 150 * GB),
    most=st.integers(1, 64),
)
def test_what_runs_at_a_time_fits_and_nothing_is_wasted(peaks: dict[str, int], free: int, most: int) -> None:
    if max(peaks.values()) > free:
        with pytest.raises(EnvironmentFailure, match=r"needs up to .* GB, but a GPU has .* GB free; narrow the space"):
            packing.shares(peaks, free, most)
        return
    for name, share in packing.shares(peaks, free, most).items():
        at_a_time = round(1 / share)
        assert share == 1 / at_a_time
        assert 1 <= at_a_time <= most
        assert at_a_time == 1 or at_a_time * peaks[name] * packing.MARGIN <= free
        assert at_a_time == most or (at_a_time + 1) * peaks[name] * packing.MARGIN > free


def test_measured_shares_are_reported_and_reserved() -> None:
    shares = packing.shares({"lenet": GB, "resnet": 3 * GB}, 8 * GB, 16)
    assert shares == {"lenet": 1 / 6, "resnet": 1 / 2}
    assert packing.in_words(shares) == "trials at a time on a GPU: 6 lenet, 2 resnet"
    lenet, mlp = (
        packing.reservation(shares, Assignment(trial=0, recipe=Recipe().with_overrides({"model.name": name})).to_dict())
        for name in ("lenet", "mlp")
    )
    assert lenet == tune.PlacementGroupFactory([{"CPU": 1, "GPU": 1 / 6}])
    assert mlp == tune.PlacementGroupFactory([{"CPU": 1, "GPU": 1.0}])  # not measured


class Listener(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_trials_of_different_shares_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray shares out a GPU that does not exist: this tests Ray and Tune, not CUDA.
    monkeypatch.setattr(packing, "measured_shares", lambda *_: {"cnn": 1.0, "mlp": 0.5})
    recipes = [
        Recipe().with_overrides({"model.name": name, "training.epochs": 1, "model.width": 8}) for name in ("mlp", "cnn")
    ]
    assignments = tuple(Assignment(trial=trial, recipe=recipe) for trial, recipe in enumerate(recipes))
    plan, view = plan_sweep(config(tmp_path, trials=2)), Listener()
    plan = replace(
        plan,
        gpus_per_trial=AUTO,
        recipes=Given(assignments=assignments),
        header=replace(plan.header, device="cuda", plan=None),
    )
    run = run_trials(plan, view)
    summary = run.summary
    assert not summary.interrupted
    assert [record.status for record in run.records] == ["finished"] * 2
    assert [record.recipe for record in run.records] == recipes
    assert view.notes == ["trials at a time on a GPU: 1 cnn, 2 mlp"]


@pytest.mark.usefixtures("ray_session")
def test_workers_that_cannot_run_at_the_same_time_do_not_wait_for_each_other() -> None:
    # This Ray has two processors and one GPU.
    assert started_together({"cpu": 1}, 5) == 2
    assert started_together({"cpu": 1}, 1) == 1
    assert started_together({"cpu": 1, "gpu": 1 / 2}, 5) == 2
    assert started_together({"cpu": 1, "gpu": 1}, 5) == 1
    assert started_together(lambda config: tune.PlacementGroupFactory([{"CPU": 1}]), 5) == 0


@pytest.mark.usefixtures("ray_session")
@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a node without CUDA")
def test_a_gpu_that_torch_does_not_see_is_named(tmp_path: Path) -> None:
    plan = plan_sweep(config(tmp_path))
    plan = replace(plan, gpus_per_trial=AUTO, header=replace(plan.header, device="cuda"))
    with pytest.raises(EnvironmentFailure, match="offers a GPU that torch does not see"):
        reservation(plan, Recorder())


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "17", "nan", "inf", "half", ""])
def test_malformed_gpu_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"must be a fraction such as 0\.25, a whole number, or auto, got"):
        parse_gpus_per_trial(text)


def test_shares_and_auto_are_read() -> None:
    assert [parse_gpus_per_trial(text) for text in (None, "auto", "0.125", "1", "2")] == [None, "auto", 0.125, 1, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.parametrize(("share", "message"), [(AUTO, "no CUDA device to pack"), (0.5, "no GPU to share")])
def test_without_a_gpu_nothing_starts(tmp_path: Path, share: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_sweep(config(tmp_path, gpus_per_trial=share))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_larger_batch_takes_more_memory(tiny_split: Split) -> None:
    device = torch.device("cuda")
    free, data = free_bytes(device), DeviceSplit.from_split(tiny_split, device)
    small, large = (
        peak_bytes(Recipe().with_overrides({"training.batch_size": batch, "model.width": 64}), data, device)
        for batch in (8, 128)
    )
    assert 0 < small < large < free

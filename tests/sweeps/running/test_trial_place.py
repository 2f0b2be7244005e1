from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure
from digits_core.recipe import Recipe
from digits_core.records import Assignment, Bundle
from digits_core.remote.object_store import ObjectStore
from sweeps.running import trial_place
from sweeps.running.trial_place import OwnPlace, SharedPlace


def test_a_store_that_is_away_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(trial_place.time, "sleep", pauses.append)
    failures = iter(range(3))

    def action() -> str:
        if next(failures, None) is not None:
            raise EnvironmentFailure("away")
        return "there"

    assert trial_place.patiently(action) == "there"
    assert pauses == [1.0, 2.0, 4.0]
    failures = iter(range(3))
    with pytest.raises(EnvironmentFailure, match="away"):
        trial_place.patiently(action, seconds=0.0)


def test_a_worker_on_another_node_trains_in_a_folder_of_its_own_and_sends_it(s3_url: str, tmp_path: Path) -> None:
    store = ObjectStore(url=s3_url)
    place = OwnPlace(folder=tmp_path / "not-on-this-node" / "trials", store=store, prefix="x/trials")
    store.write("x/trials/00003/progress.json", b"of an earlier try")
    store.write("x/trials/00001/state.safetensors", b"the parent's")
    store.write("x/trials/00001/weights.safetensors", b"not asked for")
    place.settle()
    assert place.folder.name.startswith("digits-trials-")
    trial = place.open(Assignment(trial=3, recipe=Recipe(), parent=1))
    assert (trial.folder / "progress.json").read_bytes() == b"of an earlier try"
    assert [path.name for path in trial.beside(1).folder.iterdir()] == ["state.safetensors"]
    trial.write_state(Bundle(arrays={}, facts={}))
    (trial.folder / "progress.json").write_bytes(b"now")
    place.send()
    assert store.read("x/trials/00003/progress.json") == b"now"
    assert store.read("x/trials/00003/state.safetensors")
    store.remove("x/trials/00003/state.safetensors")
    place.send()  # nothing has changed since
    assert store.read("x/trials/00003/state.safetensors") is None
    place.open(Assignment(trial=4, recipe=Recipe()))
    assert not trial.folder.exists()
    place.folder.joinpath("00004").mkdir(exist_ok=True)
    for path in sorted(place.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    place.folder.rmdir()


def test_a_folder_that_is_not_on_the_node_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match=r"is not on this node: --runs must be a folder that all nodes share"):
        SharedPlace(folder=tmp_path / "missing").settle()

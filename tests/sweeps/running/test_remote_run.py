import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from digits_core.errors import UsageError
from digits_core.remote.mirror import Mirror, TakenUp
from digits_core.remote.object_store import ObjectStore
from digits_core.runs.claims import FILE_NAME, Claim
from digits_core.runs.store import SweepStore
from sweeps.plans.config import ResumeConfig
from sweeps.plans.planning import plan_resumption, plan_sweep
from sweeps.running import remote_run
from sweeps.running.ray_session import SearchEnded
from sweeps.running.remote_run import RemoteRun, sent_along
from sweeps.running.runner import run_trials
from tests.helpers.drivers import digits, epochs_told, killed_after
from tests.helpers.sweeps import Interrupter, Recorder, WorkerKiller, config, outcomes

ALONE = {"trials": 3, "max_epochs": 4, "concurrency": 1, "scheduler": "none", "search": "random"}


def copy_of(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """The up-to-date local copy of the machine with this cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    mirror = Mirror.of(Path(url))
    assert mirror is not None
    mirror.pull()
    return mirror


@pytest.fixture(scope="module")
def undisturbed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[object, ...]]:
    """The same sweep in a plain folder, to compare with."""
    store, _ = run_trials(plan_sweep(config(tmp_path_factory.mktemp("runs"), **ALONE)), Recorder())
    return outcomes(store)


@pytest.mark.slow
def test_a_sweep_in_a_bucket_is_the_sweep_in_a_folder(
    undisturbed: dict[int, tuple[object, ...]], s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    run_trials(plan_sweep(config(ours.folder, **ALONE)), Recorder())
    theirs = copy_of(s3_url, tmp_path / "b", monkeypatch)
    there = SweepStore.open(theirs.folder, "test")
    assert outcomes(there) == undisturbed
    assert not there.ranked()[0].error
    assert there.trial(0).has_weights
    kept = {"record.json", "validation.npy", "weights.safetensors"}
    assert {name.rpartition("/")[2] for name in theirs.store.entries("test/trials/00001")} == kept
    assert not plan_resumption(ResumeConfig(runs=theirs.folder, name="test", trials=4)).header.trial_count < 4


@pytest.mark.slow
@pytest.mark.slowest
def test_a_trial_whose_worker_is_killed_goes_on_from_the_bucket(
    undisturbed: dict[int, tuple[object, ...]], s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    view = WorkerKiller()
    run_trials(plan_sweep(config(ours.folder, **ALONE)), view)
    assert view.victims
    assert view.retried == [0]
    assert outcomes(SweepStore(ours.folder / "test")) == undisturbed


@pytest.mark.slow
def test_another_machine_goes_on_with_what_was_interrupted(
    undisturbed: dict[int, tuple[object, ...]], s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    _, summary = run_trials(plan_sweep(config(ours.folder, **ALONE)), Interrupter(epochs=6))
    assert summary.interrupted
    ours.push()
    theirs = copy_of(s3_url, tmp_path / "b", monkeypatch)
    _, summary = run_trials(plan_resumption(ResumeConfig(runs=theirs.folder, name="test")), Recorder())
    assert not summary.interrupted
    assert outcomes(SweepStore(theirs.folder / "test")) == undisturbed
    ours.pull()
    assert outcomes(SweepStore(ours.folder / "test")) == outcomes(SweepStore(theirs.folder / "test"))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_population_s_members_find_their_parents_in_the_bucket(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    asked = {"trials": 13, "max_epochs": 6, "scheduler": "pbt"}
    store, summary = run_trials(plan_sweep(config(ours.folder, **asked)), Recorder())
    records = store.records()
    assert not summary.interrupted
    assert {record.status for record in records} == {"finished"}
    assert any(record.inherited_epochs for record in records)


@pytest.mark.slow
@pytest.mark.slowest
def test_a_killed_driver_s_sweep_goes_on_elsewhere_once_its_claim_is_old(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["sweep", "--trials", "3", "--max-epochs", "30", "--search", "random", "--scheduler", "none", "--name", "x"]
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    killed_after(35, ours.folder / "x", *asked, "--runs", s3_url)
    time.sleep(1.0)  # its workers notice
    theirs = copy_of(s3_url, tmp_path / "b", monkeypatch)
    assert "is running: process" in digits("resume", "x", "--runs", s3_url, expected=2)
    claim = Claim.parse(theirs.store.read(f"x/{FILE_NAME}"))
    assert claim is not None
    old = dataclasses.asdict(dataclasses.replace(claim, alive_at=claim.alive_at - 121))
    theirs.store.write(f"x/{FILE_NAME}", json.dumps(old).encode())
    assert "3 of 3 trials" in digits("resume", "x", "--runs", s3_url)
    store = SweepStore(theirs.folder / "x")
    assert [len(record.curve) for record in store.records()] == [30, 30, 30]
    assert epochs_told(store.folder) < 110  # workers had uploaded their states: hardly any epoch was trained again
    ours.pull()
    assert outcomes(SweepStore(ours.folder / "x")) == outcomes(store)


def test_a_driver_that_lost_its_claim_stops(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_run, "SECONDS_BETWEEN_SENDS", 0.05)
    monkeypatch.setattr(remote_run, "SECONDS_TO_OBJECT", 0.0)
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    (ours.folder / "x").mkdir()
    (ours.folder / "x" / "sweep.json").write_text("{}")
    with sent_along(ours.folder / "x", tmp_path) as remote:
        assert remote is not None
        remote.check()
        theirs = copy_of(s3_url, tmp_path / "b", monkeypatch)
        Claim.new(theirs.copy, None).write(theirs.folder / "x")
        overtaking = sent_along(theirs.folder / "x", tmp_path)
        with pytest.raises(UsageError, match="'x' is running"), overtaking:  # while our claim is fresh
            pass
        Claim.new(theirs.copy, None).write(theirs.folder / "x")
        deadline = time.monotonic() + 10
        while not remote.lost:  # renew the claim again and again, as a driver does
            assert time.monotonic() < deadline
            theirs.store.write(f"x/{FILE_NAME}", (theirs.folder / "x" / FILE_NAME).read_bytes())
            time.sleep(0.02)
        with pytest.raises(SearchEnded, match="another machine has resumed or removed 'x'"):
            remote.check()
    written = Claim.parse(theirs.store.read(f"x/{FILE_NAME}"))
    assert written is not None
    assert written.copy == theirs.copy


def test_if_two_drivers_claim_at_once_the_later_write_stays(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "SECONDS_TO_OBJECT", 0.0)
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    (ours.folder / "x").mkdir()
    (ours.folder / "x" / "sweep.json").write_text("{}")
    remote = RemoteRun(ours, ours.folder / "x", tmp_path)
    later = Claim.new("another copy", None)
    write = ObjectStore.write

    def overwritten(store: ObjectStore, name: str, content: bytes) -> None:
        write(store, name, content)
        write(store, f"x/{FILE_NAME}", json.dumps(dataclasses.asdict(later)).encode())

    monkeypatch.setattr(ObjectStore, "write", overwritten)
    with pytest.raises(UsageError, match=rf"'x' is running: process {os.getpid()} on"):
        remote.begin()


def test_a_run_in_a_folder_of_its_own_is_not_sent(tmp_path: Path) -> None:
    with sent_along(tmp_path, tmp_path) as remote:
        assert remote is None


def test_a_driver_that_slept_in_the_middle_of_sending_overwrites_nothing(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "SECONDS_TO_OBJECT", 0.0)
    monkeypatch.setattr(remote_run, "SECONDS_BETWEEN_SENDS", 1000.0)
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    folder = ours.folder / "x"
    folder.mkdir()
    (folder / "sweep.json").write_text("{}")
    with sent_along(folder, tmp_path) as remote:
        assert remote is not None
        for name in ("a.json", "journal.jsonl"):
            (folder / name).write_text("ours")
        write = ObjectStore.write

        def slept(store: ObjectStore, name: str, content: bytes) -> None:
            write(store, name, content)
            if name == "x/a.json":  # and meanwhile another machine has resumed the run
                later = dataclasses.asdict(Claim.new("another copy", None))
                write(store, f"x/{FILE_NAME}", json.dumps(later).encode())
                write(store, "x/journal.jsonl", b"theirs")
                remote.shown_at -= 1000

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "write", slept)
            with pytest.raises(TakenUp, match="another machine has resumed or removed 'x', so nothing more of it"):
                ours.push_as_driver(folder, before_each=remote._keep_alive)
    assert ours.store.read("x/journal.jsonl") == b"theirs"
    claim = Claim.parse(ours.store.read(f"x/{FILE_NAME}"))
    assert claim is not None
    assert claim.copy == "another copy"


def test_leftovers_of_a_removed_run_do_not_get_into_a_new_one(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "SECONDS_TO_OBJECT", 0.0)
    ours = copy_of(s3_url, tmp_path / "a", monkeypatch)
    ours.store.write("x/trials/00003/state.safetensors", b"of a worker that had not heard")
    (ours.folder / "x").mkdir()
    (ours.folder / "x" / "sweep.json").write_text("{}")
    with sent_along(ours.folder / "x", tmp_path):
        pass
    assert set(ours.store.entries()) == {"x/sweep.json", f"x/{FILE_NAME}"}

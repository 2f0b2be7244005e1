import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote import copies
from digits_core.remote.bucket import Bucket
from digits_core.remote.copies import Pushed, check_place, copies_at, found_at, pull, push, remove_at
from digits_core.remote.lease import Lease
from digits_core.remote.manifest import Files, read_manifest
from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run


@pytest.fixture
def bucket(s3_url: str) -> Bucket:
    return Bucket(s3_url)


def pushed(bucket: Bucket, folder: Path, *, force: bool = False, but: tuple[str, ...] = ()) -> Pushed:
    lease = Lease(bucket, folder.name)
    try:
        return push(bucket, Files(folder), lease, force=force, but=but)
    finally:
        lease.release()


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "driver.lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if not path.name.startswith(".")}


def test_a_run_that_is_pushed_and_pulled_is_the_same(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    ours = sweep_store.folder
    (ours / "link").symlink_to("/etc/passwd")
    (ours / "driver.lock").write_text("stays here")
    done = pushed(bucket, ours)
    assert len(done.sent) == len(done.manifest.files)
    assert (done.manifest.ended_count, done.manifest.kind) == (5, "sweep")
    theirs = pull(bucket, "tiny", tmp_path / "elsewhere")
    assert contents(theirs.folder) == {name: held for name, held in contents(ours).items() if name != "link"}
    assert Run(theirs.folder).ranked == sweep_store.ranked
    assert pushed(bucket, ours).sent == ()
    assert pull(bucket, "tiny", tmp_path / "elsewhere").fetched == ()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["tiny"]


def test_what_changed_here_is_sent_and_what_it_replaces_is_deleted(bucket: Bucket, sweep_store: Run) -> None:
    pushed(bucket, sweep_store.folder)
    (sweep_store.folder / "journal.jsonl").write_text("1\n")
    (sweep_store.trial(0).folder / "weights.safetensors").unlink()  # as a driver does that keeps only the best
    before = set(bucket.names("tiny"))
    assert pushed(bucket, sweep_store.folder).sent == ("journal.jsonl",)
    after = set(bucket.names("tiny"))
    assert len(after - before) == 1
    assert [name.partition(".")[0] for name in before - after] == ["trials/00000/weights"]


def test_a_push_of_what_has_changed_there_is_refused_and_says_what_differs(
    bucket: Bucket, sweep_store: Run, tmp_path: Path
) -> None:
    ours = sweep_store.folder
    pushed(bucket, ours)
    theirs = pull(bucket, "tiny", tmp_path / "elsewhere").folder
    (theirs / "trials" / "00001" / "record.json").write_text("{}")
    (theirs / "report.html").write_text("made again by anybody: no conflict")
    pushed(bucket, theirs)
    with pytest.raises(UsageError, match=r"'tiny' has changed at s3://.*: trials/00001/record.json; pull it first"):
        pushed(bucket, ours)
    assert pushed(bucket, ours, force=True).overwritten == ("trials/00001/record.json",)
    with pytest.raises(UsageError, match="has changed at"):
        pushed(bucket, theirs)


def test_a_pull_over_what_has_changed_here_is_refused_and_says_what_differs(
    bucket: Bucket, sweep_store: Run, tmp_path: Path
) -> None:
    pushed(bucket, sweep_store.folder)
    theirs = pull(bucket, "tiny", tmp_path / "elsewhere").folder
    (theirs / "sweep.json").write_text("changed")
    (theirs / "new.json").write_text("never pushed")
    with pytest.raises(UsageError, match=r"has changed since it was last pushed or pulled: new.json, sweep.json; push"):
        pull(bucket, "tiny", tmp_path / "elsewhere")
    assert (theirs / "sweep.json").read_text() == "changed"
    done = pull(bucket, "tiny", tmp_path / "elsewhere", force=True)
    assert done.overwritten == ("new.json", "sweep.json")
    assert contents(theirs) == contents(sweep_store.folder)


def test_a_run_that_is_running_here_is_not_replaced(bucket: Bucket, sweep_store: Run) -> None:
    pushed(bucket, sweep_store.folder)
    with sole_driver(sweep_store.folder), pytest.raises(UsageError, match="'tiny' is running: process"):
        pull(bucket, "tiny", sweep_store.folder.parent)


def test_a_trial_that_was_deleted_here_is_deleted_there(bucket: Bucket, sweep_store: Run) -> None:
    pushed(bucket, sweep_store.folder)
    shutil.rmtree(sweep_store.trial(1).folder)  # as the error for a damaged trial suggests
    pushed(bucket, sweep_store.folder)
    assert not [name for name in bucket.names("tiny") if name.startswith("trials/00001")]


def test_one_run_is_pushed_to_two_places(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    second = Bucket(str(tmp_path / "second"))
    second.create()
    for text in ("1\n", "1\n2\n"):
        (sweep_store.folder / "journal.jsonl").write_text(text)
        assert pushed(bucket, sweep_store.folder).overwritten == ()
        assert pushed(second, sweep_store.folder).overwritten == ()


def test_what_no_push_would_send_is_not_lost_by_a_pull(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    pushed(bucket, sweep_store.folder)
    theirs = pull(bucket, "tiny", tmp_path / "elsewhere").folder
    (theirs / "my notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"has changed since it was last pushed or pulled: my notes.txt"):
        pull(bucket, "tiny", tmp_path / "elsewhere")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "tiny").symlink_to(theirs)
    with pytest.raises(UsageError, match="is a link; pull into the folder that holds what it points to"):
        pull(bucket, "tiny", tmp_path / "links", force=True)


@pytest.mark.parametrize("was_there", [False, True])
def test_what_is_written_here_during_a_pull_is_not_lost(
    was_there: bool, bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(bucket, sweep_store.folder)
    target, fetch = tmp_path / "elsewhere" / "tiny", copies._fetch
    if was_there:
        pull(bucket, "tiny", target.parent)

    def late(*asked: object, **more: object) -> object:
        fetched: object = fetch(*asked, **more)  # type: ignore[arg-type]
        target.mkdir(exist_ok=True)
        (target / "ledger.jsonl").write_text("an opening\n")
        return fetched

    monkeypatch.setattr(copies, "_fetch", late)
    with pytest.raises(UsageError, match="has changed meanwhile; pull again"):
        pull(bucket, "tiny", target.parent)
    assert (target / "ledger.jsonl").read_text() == "an opening\n"
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]


def test_the_second_of_two_first_pushes_is_refused(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    other = tmp_path / "other" / "tiny"
    shutil.copytree(sweep_store.folder, other)
    (other / "sweep.json").write_text(json.dumps({**json.loads((other / "sweep.json").read_text()), "seed": 9}))
    pushed(bucket, sweep_store.folder)
    with pytest.raises(UsageError, match=r"'tiny' has changed at s3://.*: sweep.json"):
        pushed(bucket, other)


def test_two_pushes_at_once_leave_one_whole_run(
    bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "tiny"
    shutil.copytree(sweep_store.folder, other)
    (other / "journal.jsonl").write_text("theirs\n")
    write_if, lease = Bucket.write_if, Lease(bucket, "tiny")

    def late(place: Bucket, name: str, content: bytes, known: object) -> object:
        if name.endswith("manifest.json"):
            monkeypatch.setattr(Bucket, "write_if", write_if)
            push(place, Files(other), lease)  # in between, by somebody who holds the same lease
        return write_if(place, name, content, known)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "write_if", late)
    with pytest.raises(UsageError, match="somebody else has just pushed 'tiny'"):
        push(bucket, Files(sweep_store.folder), lease)
    assert contents(pull(bucket, "tiny", tmp_path / "third").folder) == contents(other)


@pytest.mark.parametrize("at", range(1, 30, 7))
def test_a_push_that_is_cut_off_leaves_the_run_as_it_was(
    at: int, bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(bucket, sweep_store.folder)
    before = contents(sweep_store.folder)
    for path in [path for path in sweep_store.folder.rglob("*") if path.is_file() and path.name != ".pushed.json"]:
        path.write_bytes(path.read_bytes() + b" ")
    written, write = [0], Bucket.write

    def cut(place: Bucket, name: str, content: bytes) -> None:
        written[0] += 1
        if written[0] >= at:
            raise EnvironmentFailure("away")
        write(place, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "write", cut)
        if at < len(before):
            with pytest.raises(EnvironmentFailure, match="away"):
                pushed(bucket, sweep_store.folder)
            assert contents(pull(bucket, "tiny", tmp_path / "elsewhere").folder) == before


@pytest.mark.parametrize("at", [1, 9])
def test_a_pull_that_is_cut_off_leaves_nothing(
    at: int, bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(bucket, sweep_store.folder)
    read, count = Bucket.read, [0]

    def cut(place: Bucket, name: str) -> object:
        count[0] += not name.endswith(".json")
        if count[0] > at:
            raise EnvironmentFailure("away")
        return read(place, name)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "read", cut)
        with pytest.raises(EnvironmentFailure, match="away"):
            pull(bucket, "tiny", tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert contents(pull(bucket, "tiny", tmp_path / "elsewhere").folder) == contents(sweep_store.folder)


def test_a_pull_beside_a_push_fetches_the_newer_run(
    bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(bucket, sweep_store.folder)
    fetch: Callable[..., object] = copies._fetch

    def late(*asked: object, **more: object) -> object:
        monkeypatch.setattr(copies, "_fetch", fetch)
        (sweep_store.folder / "journal.jsonl").write_text("newer\n")
        (sweep_store.folder / "sweep.json").write_bytes((sweep_store.folder / "sweep.json").read_bytes() + b"\n")
        pushed(bucket, sweep_store.folder)
        return fetch(*asked, **more)

    monkeypatch.setattr(copies, "_fetch", late)
    assert contents(pull(bucket, "tiny", tmp_path / "elsewhere").folder) == contents(sweep_store.folder)


def test_damaged_and_hostile_copies_are_refused(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    manifest = pushed(bucket, sweep_store.folder).manifest
    key = next(name for name in bucket.names("tiny") if name.startswith("sweep.json."))
    bucket.write(f"tiny/{key}", b"damaged")
    with pytest.raises(EnvironmentFailure, match=r"sweep.json is damaged at s3://.*/tiny; push the run again"):
        pull(bucket, "tiny", tmp_path / "elsewhere")
    entry = manifest.files["sweep.json"]
    for files in ({"../x": entry}, {"/x": entry}, {"a/../../x": entry}, {"driver.lock": entry}, {"x": (1, "short")}):
        hostile = dataclasses.asdict(replace(manifest, files=files))
        bucket.write("tiny/manifest.json", json.dumps(hostile).encode())
        with pytest.raises(EnvironmentFailure, match=r"cannot use .*/tiny/manifest.json: no push has written it"):
            pull(bucket, "tiny", tmp_path / "elsewhere")
    for content in (b"", b"[]", b"{}", json.dumps({**dataclasses.asdict(manifest), "host": "\x1b[2J"}).encode()):
        bucket.write("tiny/manifest.json", content)
        with pytest.raises(EnvironmentFailure, match="no push has written it"):
            pull(bucket, "tiny", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "tiny").exists()
    pushed(bucket, sweep_store.folder, force=True)
    pull(bucket, "tiny", tmp_path / "elsewhere")


def test_a_run_that_an_older_version_kept_there_is_pulled(bucket: Bucket, sweep_store: Run, tmp_path: Path) -> None:
    for name, content in contents(sweep_store.folder).items():
        bucket.write(f"tiny/{name}", content)
    bucket.write("tiny/driver.json", b"its claim")
    assert found_at(bucket.address)[1] == ["tiny"]
    assert [(copy.name, copy.problem) for copy in copies_at(bucket)] == [("tiny", "kept there by an older version")]
    with pytest.raises(UsageError, match="no push has put a run 'tiny' at"):
        remove_at(bucket, "tiny")
    with pytest.raises(UsageError, match="an older version keeps 'tiny' at"):
        pushed(bucket, sweep_store.folder)
    assert contents(pull(bucket, "tiny", tmp_path / "elsewhere").folder) == contents(sweep_store.folder)


def test_what_is_there_is_listed_found_and_removed(bucket: Bucket, sweep_store: Run) -> None:
    second = sweep_store.folder.with_name("second")
    shutil.copytree(sweep_store.folder, second)
    pushed(bucket, sweep_store.folder)
    pushed(bucket, second)
    Lease(bucket, "begun").release()  # a command that ended before it had a run
    lease = Lease(bucket, "second")
    assert [(copy.name, copy.holder is not None) for copy in copies_at(bucket)] == [("tiny", False), ("second", True)]
    assert found_at(f"{bucket.address}/second")[1] == ["second"]
    assert found_at(bucket.address)[1] == ["tiny", "second"]
    with pytest.raises(UsageError, match="'second' is in use at"):
        remove_at(bucket, "second")
    lease.release()
    assert remove_at(bucket, "second") > 0
    assert [copy.name for copy in copies_at(bucket)] == ["tiny"]
    assert bucket.names("second") == ["lease.json"]
    with pytest.raises(UsageError, match="no push has put a run 'second' at"):
        remove_at(bucket, "second")
    with pytest.raises(UsageError, match="there is no run at"):
        found_at(f"{bucket.address}/none")


def test_a_running_study_and_page_are_left_as_they_are_there(bucket: Bucket, sweep_store: Run) -> None:
    (sweep_store.folder / "report.html").write_text("before")
    first = pushed(bucket, sweep_store.folder).manifest
    (sweep_store.folder / "report.html").write_text("half written")
    (sweep_store.folder / "study.db").write_text("half written")
    pushed(bucket, sweep_store.folder, but=("study.db", "report.html"))
    manifest, _ = read_manifest(bucket, "tiny")
    assert manifest is not None
    assert manifest.files["report.html"] == first.files["report.html"]
    assert "study.db" not in manifest.files


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_driver_that_dies_beside_its_manifest_may_push_again(
    moment: str, bucket: Bucket, sweep_store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(bucket, sweep_store.folder)
    write_if = Bucket.write_if

    def dies(place: Bucket, name: str, content: bytes, known: object) -> object:
        if name.endswith("manifest.json"):
            if moment == "after":
                write_if(place, name, content, known)  # type: ignore[arg-type]
            raise KeyboardInterrupt
        return write_if(place, name, content, known)  # type: ignore[arg-type]

    journal = sweep_store.folder / "journal.jsonl"
    for text in ("1\n", "1\n2\n"):  # and again right after it
        journal.write_text(text)
        with monkeypatch.context() as patch:
            patch.setattr(Bucket, "write_if", dies)
            with pytest.raises(KeyboardInterrupt):
                pushed(bucket, sweep_store.folder)
    journal.write_text("1\n2\n3\n")
    assert pushed(bucket, sweep_store.folder).overwritten == ()
    assert contents(pull(bucket, "tiny", tmp_path / "elsewhere").folder) == contents(sweep_store.folder)


def test_a_run_is_not_pushed_into_itself(sweep_store: Run, tmp_path: Path) -> None:
    before = contents(sweep_store.folder)
    (tmp_path / "link").symlink_to(sweep_store.folder.parent)
    for address in (sweep_store.folder.parent, sweep_store.folder / "trials", tmp_path / "link"):
        with pytest.raises(UsageError, match="would put 'tiny' into its own folder"):
            check_place(Bucket(str(address)), sweep_store.folder)
    assert contents(sweep_store.folder) == before


def test_an_answer_that_is_lost_is_not_taken_for_somebody_else_s_push(
    bucket: Bucket, sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_if = Bucket.write_if

    def twice(place: Bucket, name: str, content: bytes, known: object) -> object:
        if name.endswith("manifest.json"):
            write_if(place, name, content, known)  # type: ignore[arg-type]
        return write_if(place, name, content, known)  # type: ignore[arg-type]

    monkeypatch.setattr(Bucket, "write_if", twice)
    pushed(bucket, sweep_store.folder)


def test_a_place_where_nothing_may_be_deleted_takes_pushes(
    bucket: Bucket, sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise EnvironmentFailure("AccessDenied")

    monkeypatch.setattr(Bucket, "remove", refused)
    for text in ("1\n", "1\n2\n", "1\n2\n3\n"):
        (sweep_store.folder / "journal.jsonl").write_text(text)
        assert "journal.jsonl" in pushed(bucket, sweep_store.folder).sent


def test_one_damaged_copy_does_not_hide_the_others_and_can_be_removed(bucket: Bucket, sweep_store: Run) -> None:
    pushed(bucket, sweep_store.folder)
    bucket.write("bad/manifest.json", b"{")
    bad, good = copies_at(bucket)
    assert (bad.name, good.name) == ("bad", "tiny")
    assert bad.problem.startswith("damaged: cannot use")
    remove_at(bucket, "bad")
    assert [copy.name for copy in copies_at(bucket)] == ["tiny"]


def test_a_long_push_keeps_its_lease(bucket: Bucket, sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits_core.remote.lease.SECONDS_BETWEEN_HEARTBEATS", 0.0)
    lease = Lease(bucket, "tiny")
    since = lease.holder.alive_at
    renewed: list[float] = []
    monkeypatch.setattr(lease, "renew", lambda: renewed.append(since))
    push(bucket, Files(sweep_store.folder), lease)
    assert len(renewed) > len(sweep_store.records)

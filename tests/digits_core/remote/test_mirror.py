import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.mirror import KeptFresh, Mirror, TakenUp
from digits_core.remote.object_store import ObjectStore
from digits_core.runs import claims
from digits_core.runs.claims import Claim, claim_in
from digits_core.runs.command_line import runs_option
from digits_core.runs.ownership import sole_driver
from tests.helpers.mirrors import Machine, files, write

KEPT = ("record.json", "validation.npy", "weights.safetensors", "progress.json")


def test_uploads_and_removals_reach_other_machines(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    assert ours.folder != theirs.folder
    assert ours.copy != theirs.copy
    write(ours, "one/sweep.json", "1")
    write(ours, "one/trials/00000/record.json", "22")
    write(ours, "two/sweep.json", "333")
    assert ours.push()
    assert not ours.push()  # nothing has changed
    theirs.pull()
    assert files(theirs) == files(ours)
    theirs.remove("one")
    shutil.rmtree(theirs.folder / "one")
    write(theirs, "two/sweep.json", "4444")
    assert theirs.push()
    assert ours.pull() == []
    assert files(ours) == {"two/sweep.json": "4444"}
    assert not (ours.folder / "one").exists()
    assert Mirror.around(ours.folder / "two" / "confirmed") == ours
    assert Mirror.around(ours.folder.parent) is None


def test_an_emptied_copy_is_refilled_and_deletes_nothing_from_the_store(machine: Machine) -> None:
    ours = machine("a")
    write(ours, "one/sweep.json", "1")
    ours.push()
    for moment in ("between two commands", "during one"):
        shutil.rmtree(ours.folder / "one")  # somebody cleared the cache
        if moment == "between two commands":
            ours.pull()
        ours.push()
        ours.push_as_driver(ours.folder / "one")
        ours.pull()
        assert files(ours) == {"one/sweep.json": "1"}
    shutil.rmtree(ours.folder)
    ours = machine("a")
    ours.pull()
    assert files(ours) == {"one/sweep.json": "1"}


def test_the_next_command_uploads_what_an_earlier_one_could_not(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    write(ours, "one/journal.jsonl", "1")
    ours.push()
    write(ours, "one/journal.jsonl", "1 2")  # then the process was killed
    write(ours, "one/trials/00000/record.json", "sealed")
    ours.store.write("one/trials/00001/progress.json", b"a worker's")
    ours.pull()
    assert files(ours)["one/journal.jsonl"] == "1 2"
    ours.push()
    theirs.pull()
    assert files(theirs) == files(ours)
    assert files(ours)["one/trials/00001/progress.json"] == "a worker's"


def test_once_another_machine_resumes_a_run_its_state_wins(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    write(ours, "one/journal.jsonl", "1")
    Claim.new(ours.copy, None).write(ours.folder / "one")
    ours.push()
    theirs.pull()
    write(ours, "one/journal.jsonl", "1 2 of a machine that went to sleep")
    write(ours, "one/trials/00002/record.json", "never sent")
    Claim.new(theirs.copy, claim_in(theirs.folder / "one")).write(theirs.folder / "one")
    write(theirs, "one/journal.jsonl", "1 and another 2")
    theirs.push()
    with pytest.raises(TakenUp, match="another machine has resumed or removed 'one'"):
        ours.push()
    aside = ours.pull()
    assert files(ours) == files(theirs)
    assert sorted(path.read_text() for path in aside) == ["1 2 of a machine that went to sleep", "never sent"]
    write(ours, "one/report.html", "page")  # from now on it may change the run again
    assert ours.push()


def test_a_run_driven_here_is_left_alone(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "1")
    ours.push()
    theirs.pull()
    write(theirs, "one/sweep.json", "22")
    theirs.push()
    (ours.folder / "one" / "confirmed").mkdir()
    with sole_driver(ours.folder / "one" / "confirmed"):
        write(ours, "one/confirmed/journal.jsonl", "x")
        ours.pull()
        assert not ours.push()
        assert files(ours)["one/sweep.json"] == "1"
        write(ours, "one/confirmed/study.db", "half")
        ours.push_as_driver(ours.folder / "one" / "confirmed", but=["study.db"])
    assert "one/confirmed/study.db" not in ours.store.entries()
    ours.pull()
    assert files(ours)["one/confirmed/journal.jsonl"] == "x"


def test_two_changes_within_one_second_of_the_stores_clock_are_noticed(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    for text in ("aa", "bb", "cc"):
        write(ours, "one/progress.json", text)
        ours.push()
        theirs.pull()
        assert files(theirs) == {"one/sweep.json": "{}", "one/progress.json": text}


def test_bring_takes_a_workers_upload_whatever_is_here(machine: Machine) -> None:
    ours = machine("a")
    write(ours, "one/sweep.json", "1")
    write(ours, "one/trials/00001/progress.json", "old")
    write(ours, "one/trials/00001/state.safetensors", "of a try that was cut off")
    ours.push()
    write(ours, "one/sweep.json", "changed")
    ours.store.remove("one/trials/00001/state.safetensors")
    ours.store.write("one/trials/00001/progress.json", b"new")
    ours.store.write("one/trials/00002/progress.json", b"another's")
    ours.bring(ours.folder / "one" / "trials" / "00001")
    assert files(ours) == {"one/sweep.json": "changed", "one/trials/00001/progress.json": "new"}


def test_local_only_files_are_never_transferred(machine: Machine) -> None:
    ours = machine("a")
    write(ours, "one/sweep.json", "1")
    for name in ("driver.lock", "study.db-journal", ".sweep.json.tmp"):
        write(ours, f"one/{name}", "here")
    ours.push()
    assert set(ours.store.entries()) == {"one/sweep.json"}
    ours.store.write("one/driver.lock", b"by hand")
    ours.pull()
    ours.push()
    assert (ours.folder / "one" / "driver.lock").read_text() == "here"
    assert ours.store.read("one/driver.lock") == b"by hand"


def test_watching_downloads_every_few_seconds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "1")
    ours.push()
    fresh = KeptFresh(theirs.folder)
    fresh.refresh()
    assert files(theirs) == {}
    fresh.fetched_at -= 6
    fresh.refresh()
    assert files(theirs) == {"one/sweep.json": "1"}
    KeptFresh(Path()).refresh()  # an ordinary folder


def test_suggested_commands_name_the_address(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = machine("a")
    assert runs_option(ours.folder / "one") == ["--runs", ours.store.url]
    monkeypatch.setenv("DIGITS_RUNS", ours.store.url)
    assert runs_option(ours.folder / "one") == []


STEP = st.tuples(
    st.integers(0, 1), st.sampled_from(["one/a.json", "one/trials/00000/b.npy", "two/c.json", "one", "two"])
)  # fmt: skip


def test_an_interrupted_download_rolls_nothing_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = machine("a"), machine("b")
    for name, text in (("sweep.json", "{}"), ("journal.jsonl", "1"), ("a.json", "old")):
        write(ours, f"one/{name}", text)
    ours.push()
    theirs.pull()
    write(ours, "one/journal.jsonl", "1 2")
    write(ours, "one/a.json", "newer")
    ours.push()
    read = ObjectStore.read

    def cut_off(store: ObjectStore, name: str) -> bytes | None:
        if name.endswith("journal.jsonl"):
            raise KeyboardInterrupt
        return read(store, name)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "read", cut_off)
        with pytest.raises(KeyboardInterrupt):
            theirs.pull()
    theirs.push()  # every command ends with a push
    assert ours.store.read("one/journal.jsonl") == b"1 2"
    write(ours, "one/journal.jsonl", "1 2 3")
    write(ours, "one/a.json", "newest")
    ours.push()
    assert theirs.pull() == []
    theirs.push()
    ours.pull()
    assert files(ours) == files(theirs) == {
        "one/sweep.json": "{}", "one/journal.jsonl": "1 2 3", "one/a.json": "newest",
    }  # fmt: skip


def test_an_interrupted_upload_is_repeated(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = machine("a")
    write(ours, "one/sweep.json", "{}")
    write(ours, "one/journal.jsonl", "1")
    ours.push()
    write(ours, "one/journal.jsonl", "1 2")
    write_there = ObjectStore.write

    def cut_off(store: ObjectStore, name: str, content: bytes) -> None:
        write_there(store, name, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            ours.push()
    write(ours, "one/journal.jsonl", "1 2 3")
    assert ours.pull() == []
    ours.push()
    assert ours.store.read("one/journal.jsonl") == b"1 2 3"


def test_damaged_notes_lose_nothing_that_was_uploaded(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    write(ours, "one/a.json", "old")
    ours.push()
    theirs.pull()
    write(theirs, "one/a.json", "newer")
    theirs.push()
    for damage in ("", "[]", "{", '{"one/a.json": 1}', '{"one/a.json": [[1e999, 1], [1, 1]]}'):
        (ours.folder / ".mirror" / "runs" / "one.json").write_text(damage)
        aside = ours.pull()
        assert files(ours) == {"one/sweep.json": "{}", "one/a.json": "newer"}
        ours.push()
    assert aside == []  # nothing differed after the first repair
    note = ours.folder / claims.MIRROR_NOTE
    for damage in ("", "{}", "[]", "xx"):
        note.write_text(damage)
        with pytest.raises(EnvironmentFailure, match=r"cannot use .*where\.json"):
            Mirror.around(ours.folder)
    note.write_text(json.dumps({"url": "file:///etc", "copy": "x"}))
    with pytest.raises(UsageError, match="not file://"):
        Mirror.around(ours.folder)


def test_a_driver_deletes_only_what_completed_trials_no_longer_need(machine: Machine) -> None:
    ours = machine("a")
    for name in ("sweep.json", "journal.jsonl", *(f"trials/0000{trial}/{name}" for trial in (1, 2) for name in KEPT)):
        write(ours, f"one/{name}", name)
    driven = ours.folder / "one"
    ours.push_as_driver(driven)
    for name in (
        "journal.jsonl",
        "trials/00001/validation.npy",
        "trials/00001/progress.json",
        *(f"trials/0000{t}/weights.safetensors" for t in (1, 2)),
    ):
        (driven / name).unlink()
    (driven / "trials" / "00002" / "record.json").unlink()
    ours.push_as_driver(driven, dropped=["trials/00001/weights.safetensors"])
    assert "one/trials/00001/weights.safetensors" not in ours.store.entries()
    assert "one/trials/00001/progress.json" not in ours.store.entries()
    assert len(ours.store.entries()) == 2 + 2 * len(KEPT) - 2


def test_odd_objects_in_the_bucket_do_no_harm(machine: Machine) -> None:
    ours = machine("a")
    for name in ("one/sweep.json", "one/q", "one/q/r", "zz/q", "zz/q/r", "one/" + 300 * "a", "stray.json"):
        ours.store.write(name, b"{}")
    assert ours.pull() == []
    assert files(ours) == {"one/sweep.json": "{}", "one/q": "{}"}
    ours.pull()
    ours.push()
    assert ours.store.read("one/q/r") == b"{}"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=6))
def test_alternating_commands_on_two_machines_see_one_folder(
    steps: list[tuple[int, str]], s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"{s3_url.partition('?')[0]}/{Path(folder).name}?{s3_url.partition('?')[2]}"
        copies = []
        for name in "ab":
            monkeypatch.setenv("XDG_CACHE_HOME", f"{folder}/{name}")
            copies.append(Mirror.of(Path(url)))
        expected: dict[str, str] = {}
        for number, (machine_number, name) in enumerate(steps, start=1):
            copy = copies[machine_number]
            assert copy is not None
            copy.pull()
            assert files(copy) == expected
            if "/" in name:
                for path in (name, f"{name.partition('/')[0]}/sweep.json"):
                    expected[path] = "x" * number  # sizes must differ: all of this happens within one second
                    write(copy, path, expected[path])
            else:
                copy.remove(name)
                shutil.rmtree(copy.folder / name, ignore_errors=True)
                expected = {path: text for path, text in expected.items() if not path.startswith(f"{name}/")}
            copy.push()
        for copy in copies:
            assert copy is not None
            copy.pull()
            assert files(copy) == expected


def test_changes_made_in_the_store_meanwhile_are_merged_or_moved_aside(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    for name in ("sweep.json", "ledger.jsonl", "ensemble.json", "report.html"):
        write(ours, f"one/{name}", "0\n")
    ours.push()
    theirs.pull()
    for name in ("ledger.jsonl", "ensemble.json", "report.html"):
        write(theirs, f"one/{name}", "0\ntheirs\n")
        write(ours, f"one/{name}", "0\nour own\n")
    theirs.push()
    ours.push()
    there = {name: ours.store.read(f"one/{name}") for name in ("ledger.jsonl", "ensemble.json", "report.html")}
    assert there["ledger.jsonl"] == b"0\ntheirs\nour own\n"
    assert (ours.folder / "one" / "ledger.jsonl").read_bytes() == there["ledger.jsonl"]
    assert there["ensemble.json"] == there["report.html"] == b"0\nour own\n"
    kept = [path for path in (ours.folder / ".mirror" / "aside").rglob("*") if path.is_file()]
    assert {path.name: path.read_text() for path in kept} == {"ensemble.json": "0\ntheirs\n"}
    assert ours.pull() == []
    assert not ours.push()


def test_a_run_that_was_removed_elsewhere_is_not_uploaded_again(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    ours.push()
    theirs.pull()
    theirs.remove("one")
    write(ours, "one/trials/00001/record.json", "new")
    write(ours, "one/my notes.txt", "of nobody's business")
    with pytest.raises(TakenUp, match="'one' was removed by another machine"):
        ours.push_as_driver(ours.folder / "one")
    with pytest.raises(TakenUp, match="'one' was removed by another machine"):
        ours.push()
    assert ours.store.entries() == {}
    ours.pull()
    assert files(ours) == {"one/my notes.txt": "of nobody's business", "one/trials/00001/record.json": "new"}


def test_changes_during_an_upload_are_uploaded_next_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = machine("a")
    journal = write(ours, "one/journal.jsonl", "1")
    write_there = ObjectStore.write

    def meanwhile(store: ObjectStore, name: str, content: bytes) -> None:
        write_there(store, name, content)
        journal.write_text("1 2")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "write", meanwhile)
        ours.push()
    assert ours.store.read("one/journal.jsonl") == b"1"
    assert ours.push()
    assert ours.store.read("one/journal.jsonl") == b"1 2"

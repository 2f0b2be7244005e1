import dataclasses
import json
import time

import pytest

from digits_core.errors import UsageError
from digits_core.runs import claims
from digits_core.runs.claims import Claim, claim_from_elsewhere
from digits_core.runs.ownership import check_free, is_running
from tests.helpers.mirrors import Machine, files, write


def test_a_live_claim_keeps_others_out_and_an_expired_one_does_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "1")
    claim = Claim.new(ours.copy, None)
    claim.write(ours.folder / "one")
    ours.push()
    theirs.pull()
    assert claim_from_elsewhere(ours.folder / "one") is None  # in the same copy the lock decides
    assert not is_running(ours.folder / "one")
    assert is_running(theirs.folder / "one")
    with pytest.raises(UsageError, match=rf"'one' is running: process {claim.process} on .* \(last heartbeat"):
        check_free(theirs.folder / "one")
    now = time.time()
    dead = [dataclasses.replace(claim, alive_at=at) for at in (now - 121, now + 1000)]
    for later in (claim.renewed(is_over=True), *dead):
        later.write(theirs.folder / "one")
        assert not is_running(theirs.folder / "one")
    sound = dataclasses.asdict(claim)
    bad = [{"token": 1}, [], {**sound, "alive_at": "x"}, {**sound, "since": 1e30}, {**sound, "host": "a\nb"}]
    for content in (*map(json.dumps, bad), "[" * 100_000, ""):
        (theirs.folder / "one" / claims.FILE_NAME).write_text(content)
        assert not is_running(theirs.folder / "one")


def test_a_run_inside_another_has_its_own_claim(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    ours.push()
    theirs.pull()
    write(ours, "one/confirmed/sweep.json", "{}")
    Claim.new(ours.copy, None).write(ours.folder / "one" / "confirmed")
    write(ours, "one/confirmed/trials/00001/record.json", "never sent")
    write(theirs, "one/refitted/sweep.json", "{}")
    Claim.new(theirs.copy, None).write(theirs.folder / "one" / "refitted")
    theirs.push()
    ours.push_as_driver(ours.folder / "one" / "confirmed")
    assert ours.pull() == []
    theirs.pull()
    assert files(ours) == files(theirs)


def test_a_run_driven_by_another_machine_is_not_removed(machine: Machine) -> None:
    ours, theirs = machine("a"), machine("b")
    write(ours, "one/sweep.json", "{}")
    ours.push()
    theirs.pull()
    claim = Claim.new(ours.copy, None)
    claim.write(ours.folder / "one")
    ours.push()
    with pytest.raises(UsageError, match=f"'one' is running: process {claim.process}"):
        theirs.remove("one")
    assert len(ours.store.entries()) == 2

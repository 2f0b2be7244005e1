import dataclasses
import json
import multiprocessing
import time
from multiprocessing.synchronize import Barrier

import pytest

from digits_core.errors import UsageError
from digits_core.remote.bucket import Bucket
from digits_core.remote.lease import FILE_NAME, Lease, LeaseLost, holder_of


def test_one_holder_at_a_time(bucket: Bucket) -> None:
    assert holder_of(bucket, "x") is None
    ours = Lease(bucket, "x")
    with pytest.raises(UsageError, match=r"'x' is in use at .*: process \d+ on .*last heartbeat 0 s ago; wait for it"):
        Lease(bucket, "x")
    Lease(bucket, "y").release()  # another run
    ours.renew()
    ours.release()
    assert holder_of(bucket, "x") is None
    Lease(bucket, "x")


def test_a_lease_is_over_two_minutes_after_the_last_heartbeat(bucket: Bucket) -> None:
    theirs = Lease(bucket, "x")
    theirs._write(dataclasses.replace(theirs.holder, alive_at=time.time() - 121))
    Lease(bucket, "x")
    with pytest.raises(LeaseLost, match="another process has taken over 'x'"):
        theirs.renew()


def test_taking_over_does_not_wait_and_the_other_side_notices(bucket: Bucket) -> None:
    theirs = Lease(bucket, "x")
    ours = Lease(bucket, "x", take_over=True)
    ours.renew()
    with pytest.raises(LeaseLost):
        theirs.renew()
    with pytest.raises(LeaseLost):
        theirs.release()
    assert holder_of(bucket, "x") == ours.holder


def test_a_lease_written_twice_because_an_answer_was_lost_is_still_ours(bucket: Bucket) -> None:
    ours = Lease(bucket, "x")
    before = ours.version
    ours.renew()
    ours.version = before  # as if the answer had not arrived
    ours.renew()
    ours.release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": 1}', json.dumps({"alive_at": 1e300})])
def test_what_no_driver_has_written_bars_nobody(bucket: Bucket, content: str) -> None:
    bucket.write(f"x/{FILE_NAME}", content.encode())
    Lease(bucket, "x").renew()


def _fight(address: str, rounds: int, start: Barrier, won: "multiprocessing.SimpleQueue[int]") -> None:
    bucket = Bucket(address)
    for number in range(rounds):
        start.wait()
        try:
            Lease(bucket, f"run{number}")
        except UsageError:
            continue
        won.put(number)


@pytest.mark.parametrize(("processes", "leases"), [(4, 20), pytest.param(10, 50, marks=pytest.mark.slow)])
def test_of_several_processes_exactly_one_wins_each_lease(bucket: Bucket, processes: int, leases: int) -> None:
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(processes), context.SimpleQueue()
    fighters = [context.Process(target=_fight, args=(bucket.address, leases, start, won)) for _ in range(processes)]
    for fighter in fighters:
        fighter.start()
    winners = []
    while any(fighter.is_alive() for fighter in fighters) or not won.empty():
        if won.empty():
            time.sleep(0.01)
        else:
            winners.append(won.get())
    assert [fighter.exitcode for fighter in fighters] == [0] * processes
    assert sorted(winners) == list(range(leases))

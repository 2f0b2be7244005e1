import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote import along
from digits_core.remote.along import pushed_along
from digits_core.remote.bucket import Bucket
from digits_core.remote.copies import lease_on, pull, push
from digits_core.remote.lease import Lease, holder_of
from digits_core.remote.manifest import Files, read_manifest
from digits_core.runs.run import Run
from sweeps.signals import restored_handlers, stop_as_interrupt
from tests.helpers.paths import ROOT


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(along, "SECONDS_BETWEEN_LOOKS", 0.02)


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(folder: Path, count: int) -> None:
    (folder / "journal.jsonl").write_text('{"event": "over"}\n' * count)


def sent_journal(bucket: Bucket) -> int:
    manifest, _ = read_manifest(bucket, "tiny")
    return 0 if manifest is None else manifest.files.get("journal.jsonl", (0, ""))[0]


def test_without_an_address_nothing_is_sent(sweep_store: Run) -> None:
    with pushed_along(sweep_store.folder, None):
        pass
    alone = pushed_along(sweep_store.folder, None, take_over=True)
    with pytest.raises(UsageError, match="--take-over belongs to --push"), alone:
        pass


def test_every_trial_that_ends_is_sent_and_at_the_end_the_rest(s3_url: str, sweep_store: Run) -> None:
    bucket, folder = Bucket(s3_url), sweep_store.folder
    with pushed_along(folder, s3_url):
        assert sent_journal(bucket) == 0  # what was there is sent at once
        assert read_manifest(bucket, "tiny")[0] is not None
        for count in (1, 2):
            ended(folder, count)
            size = (folder / "journal.jsonl").stat().st_size
            wait_until(lambda size=size: sent_journal(bucket) == size)  # type: ignore[misc]
        assert holder_of(bucket, "tiny") is not None
        (folder / "study.db").write_text("closed by now")
    manifest, _ = read_manifest(bucket, "tiny")
    assert manifest is not None
    assert "study.db" in manifest.files
    assert holder_of(bucket, "tiny") is None


def test_a_run_in_use_elsewhere_is_not_begun(s3_url: str, sweep_store: Run) -> None:
    lease = Lease(Bucket(s3_url), "tiny")
    with pytest.raises(UsageError, match="'tiny' is in use at"), pushed_along(sweep_store.folder, s3_url):
        raise AssertionError
    with pushed_along(sweep_store.folder, s3_url, take_over=True):
        pass
    lease.version = None


def test_a_name_that_is_taken_there_and_a_run_that_is_newer_there_are_refused(
    s3_url: str, sweep_store: Run, tmp_path: Path
) -> None:
    bucket = Bucket(s3_url)
    with pushed_along(sweep_store.folder, s3_url):
        pass
    with pytest.raises(UsageError, match="there is already a run 'tiny' at"), pushed_along(tmp_path / "tiny", s3_url):
        raise AssertionError
    theirs = pull(bucket, "tiny", tmp_path / "elsewhere").folder
    ended(theirs, 3)
    lease = Lease(bucket, "tiny")
    push(bucket, Files(theirs), lease)
    lease.release()
    ended(sweep_store.folder, 1)
    lease = Lease(bucket, "tiny")
    refused = pushed_along(sweep_store.folder, s3_url, take_over=True)
    with pytest.raises(UsageError, match="'tiny' has changed at"), refused:
        raise AssertionError
    lease.renew()  # a refused take-over has not ended the other's run


def test_a_place_that_is_away_does_not_stop_the_run_and_gets_the_rest_once_it_is_back(
    s3_url: str, sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, tries = Bucket(s3_url), [0]
    with pushed_along(sweep_store.folder, s3_url):
        with monkeypatch.context() as patch:

            def away(*_: object) -> None:
                tries[0] += 1
                raise EnvironmentFailure("away")

            patch.setattr(Bucket, "write", away)
            ended(sweep_store.folder, 1)
            wait_until(lambda: tries[0] > 2)
        wait_until(lambda: sent_journal(bucket) > 0)


@pytest.mark.parametrize(
    ("own_error", "message"),
    [("", "^not everything was sent: away; send it with: "), ("the disk is full", "^the disk is full; not everything")],
)
def test_what_could_not_be_sent_is_said_at_the_end_and_hides_no_error_of_the_run(
    own_error: str, message: str, s3_url: str, sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise EnvironmentFailure("away")

    def run() -> None:
        with pushed_along(sweep_store.folder, s3_url):
            monkeypatch.setattr(Bucket, "write", away)
            ended(sweep_store.folder, 1)
            if own_error:
                raise EnvironmentFailure(own_error)

    with pytest.raises(EnvironmentFailure, match=message) as failed:
        run()
    assert f"digits push tiny {s3_url} --runs {sweep_store.folder.parent}" in str(failed.value)


PUSHES_AND_WAITS = """
import sys
from pathlib import Path
from digits_core.remote.bucket import Bucket
from digits_core.remote.copies import lease_on, push
from digits_core.remote.manifest import Files
bucket, folder = Bucket(sys.argv[1]), Path(sys.argv[2])
push(bucket, Files(folder), lease_on(bucket, folder))
print("pushed", flush=True)
input()
"""


def test_a_lease_that_could_not_be_given_back_does_not_bar_the_folder_it_was_for(
    s3_url: str, sweep_store: Run, tmp_path: Path
) -> None:
    bucket, folder = Bucket(s3_url), sweep_store.folder
    arguments = [sys.executable, "-c", PUSHES_AND_WAITS, s3_url, folder]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"pushed\n"
        with pytest.raises(UsageError, match=f"'tiny' is in use at .*: process {other.pid} on "):
            lease_on(bucket, folder)  # it lives
        other.kill()
    elsewhere = pull(bucket, "tiny", tmp_path / "elsewhere").folder
    with pytest.raises(UsageError, match="'tiny' is in use at"):
        lease_on(bucket, elsewhere)
    push(bucket, Files(folder), lease_on(bucket, folder))


def test_a_driver_whose_run_was_taken_over_stops_and_sends_nothing_more(
    s3_url: str, sweep_store: Run, tmp_path: Path
) -> None:
    bucket = Bucket(s3_url)

    def run() -> None:
        with restored_handlers(), pushed_along(sweep_store.folder, s3_url):
            stop_as_interrupt()
            Lease(bucket, "tiny", take_over=True)
            pull(bucket, "tiny", tmp_path / "elsewhere")
            ended(sweep_store.folder, 1)
            time.sleep(30)  # until the interrupt

    with pytest.raises(EnvironmentFailure, match="another process has taken over 'tiny' at s3://"):
        run()
    assert sent_journal(bucket) == 0

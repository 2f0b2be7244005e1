import json
from pathlib import Path

import pytest

from digits_core.remote.bucket import Bucket
from digits_core.remote.lease import Lease
from digits_core.runs.run import Run
from tests.helpers.command_line import run


def test_a_run_goes_there_and_back_through_the_command_line(s3_url: str, sweep_store: Run, tmp_path: Path) -> None:
    runs = ["--runs", str(sweep_store.folder.parent)]
    code, out, _ = run("push", "tiny", s3_url, *runs, "--json")
    document = json.loads(out)
    assert (code, document["run"], document["at"], document["trials_ended"]) == (0, "tiny", s3_url, 5)
    assert document["sent"] == document["files"]
    code, out, _ = run("ls", "--at", s3_url)
    assert code == 0
    assert "tiny  sweep on sklearn-digits, 5 of 5 trials" in out
    assert out.splitlines()[-1].endswith(f"pull {s3_url}")
    code, out, _ = run("pull", f"{s3_url}/tiny", "--runs", str(tmp_path / "elsewhere"), "--json")
    assert (code, json.loads(out)[0]["run"]) == (0, "tiny")
    assert Run.open(tmp_path / "elsewhere", "tiny").records == sweep_store.records
    code, out, _ = run("rm", "tiny", "--at", s3_url, "--yes")
    assert code == 0
    assert f"{s3_url}/tiny" in out
    assert run("ls", "--at", s3_url, "--json")[1].strip() == "[]"
    assert sweep_store.records


def test_what_is_overwritten_by_force_is_said(s3_url: str, sweep_store: Run) -> None:
    runs = ["--runs", str(sweep_store.folder.parent)]
    run("push", "tiny", s3_url, *runs)
    (sweep_store.folder / ".pushed.json").unlink()
    (sweep_store.folder / "journal.jsonl").write_text("{}\n")
    code, _, err = run("push", "tiny", s3_url, *runs)
    assert code == 2
    assert f"error: 'tiny' has changed at {s3_url}: journal.jsonl; pull it first" in err
    code, _, err = run("push", "tiny", s3_url, *runs, "--force")
    assert code == 0
    assert "overwritten there: journal.jsonl" in err


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["ls", "--at", "s3://key:secret@bucket/x"], 2, "does not name a folder in a bucket"),
        (["pull", "s3://no-such-bucket/x/y"], 1, "cannot use s3://no-such-bucket/x: NoSuchBucket"),
        (["pull", "s3://bucket/none/y"], 2, "there is no run at s3://bucket/none/y"),
        (["push", "tiny", "s3://no-such-bucket/x"], 1, "NoSuchBucket"),
        (["push", "../tiny", "s3://bucket/x"], 2, "cannot be a run's name"),
        (["rm", "none", "--at", "s3://bucket/none", "--yes"], 2, "no push has put a run 'none' at s3://bucket/none"),
        (["resume", "tiny", "--take-over"], 2, "--take-over belongs to --push ADDRESS"),
        (["ls", "--runs", "s3://bucket/x"], 2, "--runs takes a folder; add --push ADDRESS"),
    ],
)
def test_bad_input_is_one_line(
    command: list[str], code: int, message: str, s3_url: str, sweep_store: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITS_RUNS", str(sweep_store.folder.parent))
    (sweep_store.folder / "journal.jsonl").write_text("")
    for path in sweep_store.folder.glob("trials/*/record.json"):
        path.unlink()
    returned, out, err = run(*command)
    assert (returned, out) == (code, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert "secret" not in line


def test_ensemble_with_push_sends_the_ensemble(s3_url: str, sweep_store: Run) -> None:
    runs = ["--runs", str(sweep_store.folder.parent)]
    code, _, err = run("ensemble", "--top", "2", "--sweep", "tiny", *runs, "--push", s3_url)
    assert code == 0, err
    assert any(name.startswith("ensemble.json.") for name in Bucket(s3_url).names("tiny"))
    Lease(Bucket(s3_url), "tiny")
    code, _, err = run("ensemble", "--top", "2", "--sweep", "tiny", *runs, "--push", s3_url)
    assert code == 2
    assert "'tiny' is in use at" in err

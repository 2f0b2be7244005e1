"""`digits mcp` as an MCP client meets it: the SDK's own client, over stdin and stdout of a real process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters

from digits_core.runs.ownership import sole_driver
from digits_core.runs.run import Run
from tests.helpers.paths import ROOT
from tests.helpers.processes import is_alive, parent_of

Call = Callable[..., Awaitable[Any]]


def with_client(runs: Path, play: Callable[[Client, Call], Awaitable[None]], *options: str) -> None:
    """Start a server for these runs and let `play` talk to it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = StdioServerParameters(
        command=sys.executable, args=["-m", "cli", "mcp", "--runs", str(runs), *options], env=environment
    )

    async def talk() -> None:
        async with Client(started, read_timeout_seconds=120) as client:

            async def call(name: str, **arguments: Any) -> Any:
                result = await client.call_tool(name, arguments)
                (block,) = result.content
                if result.is_error:
                    return block.text
                assert json.loads(block.text) == result.structured_content
                return result.structured_content

            await play(client, call)

    asyncio.run(talk())


def test_reading_a_job_and_a_hostile_client(sweep_store: Run) -> None:
    runs = sweep_store.folder.parent

    async def play(client: Client, call: Call) -> None:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert listed["leaderboard"].annotations.read_only_hint
        assert not listed["judge"].annotations.read_only_hint
        assert str(runs) in client.instructions
        (run,) = (await call("list_runs"))["items"]
        assert run["sweep"] == "tiny"

        for name, arguments, message in (
            ("delete", {}, "error: unknown tool 'delete'"),
            ("show", {"run": "../tiny"}, "cannot be a run's name"),
            ("show", {"run": "absent"}, "error: unknown run 'absent'"),
            ("sweep", {"trials": 10_000}, "10,000 trials are more than"),
            ("job", {"job": "sweep-1"}, "error: unknown job 'sweep-1'; there are none yet"),
            ("job", {"job": "x", "wait_seconds": 1e9}, "wait_seconds from 0 to 60"),
            ("stop_job", {"job": ["x"]}, "takes the name of a job"),
        ):
            said = await call(name, **arguments)
            assert message in said
            assert said.count("\n") == 0

        job = await call("report", sweeps=["tiny"])
        assert (job["state"], job["run"], job["result"]) == ("running", "tiny", None)
        assert "report-1 is still running" in await call("ensemble", sweep="tiny")
        while job["state"] == "running":
            job = await call("job", job="report-1", wait_seconds=30)
        assert (job["state"], job["exit_code"]) == ("finished", 0)
        assert Path(job["result"]["report"]).is_file()
        assert [one["job"] for one in (await call("jobs"))["items"]] == ["report-1"]

        (resource,) = (await client.list_resources()).resources
        assert resource.uri == "digits://runs/tiny"
        read = await client.read_resource("digits://runs/tiny/leaderboard")
        assert json.loads(read.contents[0].text)["rows"]
        with pytest.raises(MCPError, match=r"there is no resource 'digits://runs/\.\./x/y'"):
            await client.read_resource("digits://runs/../x/y")

    with_client(runs, play)


def test_a_job_is_interrupted_when_its_server_is_gone(sweep_store: Run) -> None:
    """The server's end, however it comes, closes the pipe that a job reads. With a real server: the slow test below."""
    (sweep_store.folder / "journal.jsonl").touch()
    with sole_driver(sweep_store.folder):  # so that watching it goes on
        job = subprocess.Popen(
            [sys.executable, "-m", "digits_cli.agents.process", "watch", "tiny", "--runs", sweep_store.folder.parent],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        with pytest.raises(subprocess.TimeoutExpired):
            job.wait(timeout=1.5)
        try:
            _, err = job.communicate(timeout=30)  # closes its stdin
        finally:
            job.kill()
    assert job.returncode == 130
    assert err.splitlines()[-1] == "interrupted"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the job through /proc")
@pytest.mark.parametrize("end", ["the server is killed", "the client leaves"])
def test_no_job_is_left_when_the_server_is_gone(tmp_path: Path, end: str) -> None:
    runs, found = tmp_path / "runs", []

    async def play(client: Client, call: Call) -> None:
        job = await call("train", recipe="speedrun-99", dataset="sklearn-digits", set=["training.epochs=100000"])
        assert job["state"] == "running"
        while not (runs / job["run"] / "journal.jsonl").exists():
            assert (await call("job", job="train-1"))["state"] == "running"
            await asyncio.sleep(0.05)
        found.extend(processes_of(job["run"]))
        if end == "the server is killed":
            (server,) = {parent_of(process) for process in found}
            os.kill(server, signal.SIGKILL)

    try:
        with_client(runs, play)
    except (ExceptionGroup, MCPError):
        assert end == "the server is killed"
    assert found
    deadline = time.monotonic() + 60
    while any(map(is_alive, found)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, found))
    (run,) = runs.iterdir()
    assert Run(run).history.trials  # an interrupt: what it had begun can be resumed


def processes_of(run: str) -> list[int]:
    """The processes whose command line names a run."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if f"--name={run}".encode() in _content(path).split(b"\0")
    ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.mark.slow
def test_an_agent_finds_the_better_of_two_recipes_and_whether_that_is_real(tmp_path: Path) -> None:
    """A transcript: what an agent that knows only these tools would ask, and what it would read off."""

    async def play(client: Client, call: Call) -> None:
        names = ["kfold-cnn", "lecture-simple-conv", "lenet"]
        assert set(names) <= {one["name"] for one in (await call("recipes"))["items"]}
        job = await call("compare", recipes=names, dataset="sklearn-digits", epochs=3, seeds=3, folds=0)
        while job["state"] == "running":
            job = await call("job", job=job["job"], wait_seconds=60)
        assert job["state"] == "finished", job["progress"]
        board = await call("leaderboard", run=job["run"])
        first, second, third = board["rows"]
        assert [len(row["trials"]) for row in board["rows"]] == [3, 3, 3]
        # "The first two cannot be told apart: the difference may be luck. Both are really better than lenet."
        assert {first["recipe"]["model"]["name"], second["recipe"]["model"]["name"]} == {"kfold-cnn", "lecture-conv"}
        assert second["tied_with_leader"]
        assert second["to_leader"]["corrected_p_value"] > 0.05
        assert not third["tied_with_leader"]
        assert third["to_leader"]["corrected_p_value"] < 0.05
        assert third["validation"]["accuracy"] < first["validation"]["accuracy"] - 0.5

    with_client(tmp_path / "runs", play)

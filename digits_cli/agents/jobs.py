"""Commands that take long: each is a process of its own, started, watched and stopped."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from digits_core.errors import EnvironmentFailure, UsageError, unknown_name

SECONDS_TO_STOP = 60.0  # between an interrupt, which keeps what is finished, and a kill
LAST_LINES = 5  # of the progress
LARGEST_RESULT = 8 * 2**20  # bytes of a command's output


@dataclass(kw_only=True)
class Job:
    """One command, running or over. arguments: as on the command line."""

    name: str
    run: str | None
    arguments: Sequence[str]
    process: asyncio.subprocess.Process
    output: Path
    progress: Path
    started_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    stopped_by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its process has ended."""
        return self.process.returncode is not None

    def document(self) -> dict[str, Any]:
        """Its state and, once it is over, the document that the command printed."""
        code, progress = self.process.returncode, _text(self.progress).splitlines()
        seconds = (self.ended_at or time.monotonic()) - self.started_at
        states = {None: "running", 0: "finished", 130: "stopped"}
        return {
            "job": self.name,
            "state": states.get(code, "stopped" if self.stopped_by else "failed"),
            "stopped_by": self.stopped_by or None,
            "run": self.run,
            "command": ["digits", *self.arguments],
            "seconds": round(seconds, 1),
            "exit_code": code,
            "error": _reason(progress[-1]) if progress and code not in (None, 0, 130) else None,
            "progress": progress[-LAST_LINES:],
            "result": document_in(_text(self.output)) if self.is_over else None,
        }


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return _read(stream)


def _read(stream: IO[bytes]) -> str:
    return stream.read(LARGEST_RESULT).decode("utf-8", "replace")


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a command with all that it started, and wait for its end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _reason(line: str) -> str:
    """A command's last line without the word that begins an error, ours or Typer's."""
    return line.removeprefix("error: ").removeprefix("Error: ")


def document_in(text: str) -> Any:
    """The JSON document that a command printed; None if it printed none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


async def start(arguments: Sequence[str], output: int, progress: int) -> asyncio.subprocess.Process:
    """Start `digits` with these arguments in a process that ends with this one."""
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "digits_cli.agents.process", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=output, stderr=progress,
            start_new_session=True,  # clients end a server together with its process group: a job must end by itself
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(f"cannot start the command: {error}") from error


class Jobs:
    """The jobs of one server, one running at a time: each uses all processors."""

    def __init__(self, folder: Path, most_seconds: float) -> None:
        self.folder, self.most_seconds = folder, most_seconds
        self.jobs: dict[str, Job] = {}
        self.watching: set[asyncio.Task[None]] = set()

    async def start(self, tool: str, run: str | None, arguments: Sequence[str]) -> Job:
        """Start a job. Raises UsageError while another one is running."""
        for job in self.jobs.values():
            if not job.is_over:
                raise UsageError(f"{job.name} is still running; wait for it (job) or stop it (stop_job)")
        name = f"{tool}-{len(self.jobs) + 1}"
        output, progress = self.folder / f"{name}.json", self.folder / f"{name}.txt"
        with output.open("wb") as stdout, progress.open("wb") as stderr:
            process = await start(arguments, stdout.fileno(), stderr.fileno())
        job = Job(name=name, run=run, arguments=arguments, process=process, output=output, progress=progress)
        self.jobs[name] = job
        task = asyncio.create_task(self._watch(job))
        self.watching.add(task)
        task.add_done_callback(self.watching.discard)
        return job

    async def _watch(self, job: Job) -> None:
        try:
            async with asyncio.timeout(self.most_seconds):
                await job.process.wait()
        except TimeoutError:
            await self.stop(job.name, f"the limit of {self.most_seconds / 60:g} minutes (--most-minutes)")
        finally:
            job.ended_at = time.monotonic()

    def job(self, name: str) -> Job:
        """The job of that name. Raises UsageError if there is none."""
        if name not in self.jobs:
            raise unknown_name("job", name, self.jobs)
        return self.jobs[name]

    async def stop(self, name: str, why: str) -> Job:
        """Interrupt a job, which keeps what it has finished, and wait for its end."""
        job = self.job(name)
        if job.is_over:
            return job
        job.stopped_by = why
        with suppress(ProcessLookupError):
            job.process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(SECONDS_TO_STOP):
                await job.process.wait()
        except TimeoutError:
            await _kill(job.process)
        return job


async def answer(arguments: Sequence[str], most_seconds: float) -> Any:
    """The document of a command that answers soon. Raises UsageError or EnvironmentFailure with its error."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as progress:
        process = await start(arguments, output.fileno(), progress.fileno())
        try:
            async with asyncio.timeout(most_seconds):
                code = await process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            await _kill(process)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise EnvironmentFailure(
                f"the command did not finish within {most_seconds:g} s and was ended; run it on the command line"
            ) from error
        output.seek(0)
        progress.seek(0)
        document = document_in(_read(output))
        # Also with an exit code other than 0: a data set that cannot be trained on is an answer.
        if document is not None:
            return document
        lines = _read(progress).strip().splitlines() or ["nothing was printed"]
        raise (UsageError if code == 2 else EnvironmentFailure)(_reason(lines[-1]))

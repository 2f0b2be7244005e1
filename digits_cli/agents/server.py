"""The protocol: tools and resources of one runs folder, over stdin and stdout."""

import asyncio
import json
import os
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from mcp import MCPError, types
from mcp.server import Server
from mcp.server.stdio import stdio_server

from digits_cli.agents.jobs import Jobs, answer
from digits_cli.agents.tools import TOOLS, Limits, Tool
from digits_cli.shell import INTERRUPTED, default_name, say
from digits_core.errors import EnvironmentFailure, UsageError, shortened, unknown_name
from digits_core.runs.run import runs_in

SECONDS_TO_ANSWER = 120.0
LONGEST_WAIT = 60.0  # seconds that `job` may wait for the end of one
RUN = "digits://runs/"
INSTRUCTIONS = """Train, compare and judge classifiers of handwritten digits in {runs}.

sweep, compare, train, confirm, ensemble, export, report and resume start a job and return at once: ask `job` for its
state and result. One job runs at a time, at most {minutes:g} minutes, with at most {trials:,} trials.

A row differs significantly from the leader only if its `tied_with_leader` is false. One run of each recipe compares
two networks; several seeds compare two recipes. Rank by validation. Choose nothing by the test set; the ledger counts
how often it was opened."""

JOB_TOOLS = {
    "job": ("The state of a job, its last progress and, once it is over, its result.", True),
    "jobs": ("All jobs of this server, newest last.", True),
    "stop_job": (
        "Stop a job as Ctrl-C does. What it has finished is kept; resume continues a sweep or a comparison.",
        False,
    ),
}
JOB_SCHEMA = {
    "type": "object",
    "properties": {
        "job": {"type": "string", "description": "Name of the job, as the tool that started it returned it."},
        "wait_seconds": {
            "type": "number", "minimum": 0, "maximum": LONGEST_WAIT,
            "description": "Wait this long for its end before answering.",
        },
    },
    "required": ["job"],
    "additionalProperties": False,
}  # fmt: skip
STOP_SCHEMA = {**JOB_SCHEMA, "properties": {"job": JOB_SCHEMA["properties"]["job"]}}  # type: ignore[index]
NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
SCHEMAS = {"job": JOB_SCHEMA, "jobs": NO_ARGUMENTS, "stop_job": STOP_SCHEMA}


class Service:
    """Answers the requests of one client."""

    def __init__(self, limits: Limits, jobs: Jobs) -> None:
        self.limits, self.jobs = limits, jobs

    async def list_tools(self, *_: object) -> types.ListToolsResult:
        """Commands as tools, then the tools for jobs."""
        found = [
            types.Tool(
                name=tool.name,
                description=tool.description + (" Starts a job and returns at once." if tool.is_job else ""),
                input_schema=tool.schema,
                annotations=_hints(only_reads=tool.only_reads),
            )
            for tool in TOOLS.values()
        ]
        found += [
            types.Tool(
                name=name,
                description=text,
                input_schema=SCHEMAS[name],
                annotations=_hints(only_reads=only_reads),
            )
            for name, (text, only_reads) in JOB_TOOLS.items()
        ]
        return types.ListToolsResult(tools=found)

    async def call_tool(self, _: object, asked: types.CallToolRequestParams) -> types.CallToolResult:
        """The tool's document, or an error of one line."""
        try:
            document = await self._answer(asked.name, asked.arguments or {})
        except (UsageError, EnvironmentFailure) as error:
            text = f"error: {shortened(str(error))}"
            return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)
        if not isinstance(document, dict):
            document = {"items": document}
        return types.CallToolResult(content=[types.TextContent(text=json.dumps(document))], structured_content=document)

    async def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name in JOB_TOOLS:
            return await self._about_jobs(name, arguments)
        if name not in TOOLS:
            raise unknown_name("tool", shortened(name, 60), [*TOOLS, *JOB_TOOLS])
        tool = TOOLS[name]
        if not tool.is_job:
            return await answer(self.limits.command_line(tool, arguments), SECONDS_TO_ANSWER)
        arguments, run = self._with_name(tool, arguments)
        job = await self.jobs.start(name, run, self.limits.command_line(tool, arguments))
        return job.document()

    def _with_name(self, tool: Tool, arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """The arguments, with a name for a new run, so that the client knows what to ask for."""
        if "name" in tool.takes and "name" not in arguments:
            arguments = {**arguments, "name": default_name(tool.name)}
        names = arguments.get("sweeps") or [arguments.get("run") or arguments.get("sweep") or arguments.get("name")]
        return arguments, names[0]

    async def _about_jobs(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "jobs":
            return [job.document() for job in self.jobs.jobs.values()]
        wanted, seconds = arguments.get("job"), arguments.get("wait_seconds", 0)
        if not isinstance(wanted, str) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_WAIT:
            raise UsageError(f"{name} takes the name of a job, and wait_seconds from 0 to {LONGEST_WAIT:g}")
        if name == "stop_job":
            return (await self.jobs.stop(shortened(wanted, 60), "stop_job")).document()
        job = self.jobs.job(shortened(wanted, 60))
        try:
            async with asyncio.timeout(seconds):
                await job.process.wait()
        except TimeoutError:
            pass
        return job.document()

    async def list_resources(self, *_: object) -> types.ListResourcesResult:
        """The stored runs."""
        found = runs_in(self.limits.runs) if self.limits.runs.is_dir() else []
        return types.ListResourcesResult(
            resources=[types.Resource(uri=f"{RUN}{run.name}", name=run.name, mime_type=JSON) for run in found]
        )

    async def list_templates(self, *_: object) -> types.ListResourceTemplatesResult:
        """What there is to read of a run."""
        about = {
            "": "A run: how many trials have ended, the best of them, what is running.",
            "/leaderboard": "A run's candidates with their intervals, and which differences are real.",
        }
        templates = [
            types.ResourceTemplate(
                uri_template=f"{RUN}{{run}}{end}", name=f"run{end}", description=text, mime_type=JSON
            )
            for end, text in about.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(self, _: object, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """The document of `show` or `leaderboard`. Raises MCPError, with one line, if there is none."""
        uri = str(asked.uri)
        name, slash, what = uri.removeprefix(RUN).partition("/")
        if not uri.startswith(RUN) or what not in ("", "leaderboard") or (slash and not what):
            raise _refused(f"there is no resource {shortened(uri, 80)!r}; read {RUN}NAME or {RUN}NAME/leaderboard")
        try:
            line = self.limits.command_line(TOOLS[what or "show"], {"run": name})
            text = json.dumps(await answer(line, SECONDS_TO_ANSWER))
        except (UsageError, EnvironmentFailure) as error:
            raise _refused(str(error)) from None
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=JSON, text=text)])


JSON = "application/json"


def _refused(text: str) -> MCPError:
    return MCPError(code=types.INVALID_PARAMS, message=f"error: {shortened(text)}")


def _hints(*, only_reads: bool) -> types.ToolAnnotations:
    return types.ToolAnnotations(read_only_hint=only_reads, destructive_hint=False, open_world_hint=False)


def make_server(service: Service) -> Server[Any]:
    """The server, without a transport."""
    limits = service.limits
    server: Server[Any] = Server(
        "digits",
        version=metadata.version("digits"),
        instructions=INSTRUCTIONS.format(runs=limits.runs, minutes=limits.most_minutes, trials=limits.most_trials),
        on_list_tools=service.list_tools,
        on_call_tool=service.call_tool,
        on_list_resources=service.list_resources,
        on_list_resource_templates=service.list_templates,
        on_read_resource=service.read_resource,
    )
    server.middleware.clear()  # OpenTelemetry's spans: nothing here reports elsewhere
    return server


def serve(limits: Limits) -> None:
    """Answer on stdin and stdout until the client closes them. Jobs that are running then are interrupted."""

    async def answer_all() -> None:
        with tempfile.TemporaryDirectory(prefix="digits-mcp-") as folder:
            server = make_server(Service(limits, Jobs(Path(folder), 60 * limits.most_minutes)))
            async with stdio_server() as (requests, answers):
                await server.run(requests, answers, server.create_initialization_options())

    try:
        asyncio.run(answer_all())
    except KeyboardInterrupt:
        say("interrupted")
        os._exit(INTERRUPTED)  # a thread still reads stdin, and Python would wait for it

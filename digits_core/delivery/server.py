"""`digits serve`: a page to draw a digit on, and an endpoint that reads pictures. Loopback only unless asked."""

import asyncio
import base64
import io
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Annotated, Any
from urllib.parse import urlsplit

import cv2
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from digits_core.delivery.reader import NOTHING_FOUND, Reader
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.decode import UnreadablePicture, decode
from digits_core.handwriting.reading import Reading, digit_document

LARGEST_BODY = 8 * 2**20  # bytes
LARGEST_PICTURE = 16_000_000  # pixels: what a stranger may make this machine look through
REQUESTS_PER_SECOND, BURST = 20.0, 40  # of all callers together; a drawn line asks ten times a second
MOST_CONNECTIONS = 32
BODY_SECONDS = 20.0  # that a body may take to arrive
TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp")
PAGES = {
    "/": ("draw.html", "text/html"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/draw.css": ("draw.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class DigitAnswer(BaseModel):
    """One digit that was found."""

    box: Annotated[list[int], Field(description="left, top, right, bottom in the picture's pixels")]
    row: int
    digit: Annotated[int, Field(ge=0, le=9)]
    probabilities: Annotated[list[float], Field(description="of the digits 0 to 9")]
    unsure: Annotated[list[int], Field(description="the digits it may be; empty where the answer is clear")]
    seen: Annotated[str, Field(description="what the network saw: a PNG as a data URI")]


class PictureAnswer(BaseModel):
    """What a picture says."""

    model: str
    text: Annotated[str, Field(description="the digits in reading order, rows parted by a slash")]
    width: int
    height: int
    digits: list[DigitAnswer]


class ModelAnswer(BaseModel):
    """Which model answers."""

    model: str
    trained_on: str
    networks: int


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class Bucket:
    """So many requests a second, and some more at once."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second, self.burst, self.clock = per_second, burst, clock
        self.level, self.at = float(burst), clock()

    def take(self) -> bool:
        """Whether one more may pass."""
        now = self.clock()
        self.level, self.at = min(self.burst, self.level + (now - self.at) * self.per_second), now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


PROBLEMS: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "asked by another site's page"},
    408: {"model": Problem, "description": "the body did not arrive in time"},
    413: {"model": Problem, "description": "too large"},
    415: {"model": Problem, "description": "not a type that is read"},
    422: {"model": Problem, "description": "no picture, or nothing found in it"},
    429: {"model": Problem, "description": "too many requests"},
}
BODY = {"required": True, "content": {each: {"schema": {"type": "string", "format": "binary"}} for each in TYPES}}


def make_app(reader: Reader, *, hosts: list[str] | None = None, bucket: Bucket | None = None) -> FastAPI:
    """The application. `hosts`: the names that it may be asked by (against DNS rebinding); None for any."""
    app = FastAPI(
        title="digits", version="1", description="Reads handwritten digits in pictures.", docs_url=None, redoc_url=None
    )
    limit = bucket or Bucket(REQUESTS_PER_SECOND, BURST)
    one_at_a_time = asyncio.Semaphore(1)  # the networks use all processors as it is

    @app.exception_handler(_Refused)
    async def refused(_: Request, error: _Refused) -> JSONResponse:
        return JSONResponse({"error": error.error}, error.status)

    @app.middleware("http")
    async def guarded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        response.headers.update(HEADERS)
        return response

    @app.post("/predict", response_model=PictureAnswer, responses=PROBLEMS, openapi_extra={"requestBody": BODY})
    async def predict(request: Request) -> PictureAnswer:
        """Read the picture in the body: PNG, JPEG, WebP or BMP, of any size up to 16 million pixels."""
        _check_origin(request)
        if not limit.take():
            raise _Refused(429, f"more than {REQUESTS_PER_SECOND:.0f} requests a second; wait a moment")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in TYPES:
            raise _Refused(415, f"send the picture's bytes as one of {', '.join(TYPES)}")
        content = await _body(request)
        async with one_at_a_time:
            reading = await run_in_threadpool(_read, reader, content)
        return _answer(reader, reading)

    @app.get("/model", response_model=ModelAnswer)
    async def model() -> ModelAnswer:
        """Which model answers."""
        one = reader.classifier
        return ModelAnswer(model=one.name, trained_on=one.dataset, networks=len(one.records))

    for path in PAGES:
        app.add_api_route(path, _page_of(path), include_in_schema=False)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    return app


def _page_of(path: str) -> Callable[[], Awaitable[Response]]:
    name, kind = PAGES[path]
    content = resources.files("digits_core.delivery").joinpath("pages", name).read_bytes()

    async def page() -> Response:
        return Response(content, media_type=kind)

    return page


def _check_origin(request: Request) -> None:
    """A page of another site may not use this one through its visitor's browser."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise _Refused(403, "this page belongs to another site")


async def _body(request: Request) -> bytes:
    """The body, never more than is allowed, and not for ever."""
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                content += piece
                if len(content) > LARGEST_BODY:
                    raise _Refused(413, f"more than {LARGEST_BODY // 2**20} MB")
    except TimeoutError:
        raise _Refused(408, f"the picture did not arrive within {BODY_SECONDS:.0f} seconds") from None
    return bytes(content)


def _read(reader: Reader, content: bytes) -> Reading:
    try:
        pixels = decode(content, LARGEST_PICTURE)
    except UnreadablePicture as error:
        raise _Refused(422, str(error)) from error
    try:
        return reader.read_pixels(pixels)
    except (cv2.error, ValueError) as error:
        raise _Refused(422, "this picture cannot be searched for digits") from error


def _answer(reader: Reader, reading: Reading) -> PictureAnswer:
    if not reading.digits:
        raise _Refused(422, NOTHING_FOUND)
    digits = []
    for digit in reading.digits:
        buffer = io.BytesIO()
        Image.fromarray(digit.image).save(buffer, format="PNG")
        seen = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        digits.append(DigitAnswer(**digit_document(digit), seen=seen))
    return PictureAnswer(
        model=reader.classifier.name, text=reading.text, width=reading.width, height=reading.height, digits=digits
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket on this address; 0 takes any free port. Raises UsageError or EnvironmentFailure."""
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port must be between 0 and 65,535, got {port:,}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host!r} is no address of this machine; 127.0.0.1 is") from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()  # whoever asks from now on waits for the answer
    except (OSError, OverflowError) as error:
        opened.close()
        said = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFailure(f"cannot listen on {host}:{port} ({said}); choose another --port") from error
    return opened


def url_of(opened: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(opened: socket.socket) -> bool:
    """Whether nothing but this machine reaches it."""
    return ipaddress.ip_address(opened.getsockname()[0].partition("%")[0]).is_loopback


def serve(reader: Reader, opened: socket.socket) -> None:
    """Answer until the process is told to stop."""
    hosts = ["localhost", "127.0.0.1", "[::1]"] if is_loopback(opened) else None
    config = uvicorn.Config(
        make_app(reader, hosts=hosts), log_level="warning", access_log=False, limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=5, server_header=False, date_header=False, lifespan="off", ws="none",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[opened])

"""`digits serve`: a page to draw digits on and an endpoint that reads pictures. Loopback only by default."""

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
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from digits_core.delivery.reader import Reader, nothing_found
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.handwriting.decode import WEB_FORMATS, UnreadablePicture, decode
from digits_core.handwriting.pipeline import TooManyMarks
from digits_core.handwriting.reading import Reading, digit_document, left_out_document

LARGEST_BODY = 8 * 2**20  # bytes
LARGEST_PICTURE = 16_000_000  # pixels: limits the work that one request can cause
MOST_MARKS = 200  # likewise: each takes some 8 ms
REQUESTS_PER_SECOND, BURST = 20.0, 40  # for all clients together; the drawing page sends ten a second
MOST_CONNECTIONS = 32
REQUEST_SECONDS = 5.0  # for a request's head to arrive on an open connection, at most twice that
BODY_SECONDS = 20.0  # for a request's body to arrive
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
    """One digit found in a picture."""

    box: Annotated[list[int], Field(description="left, top, right, bottom, in pixels of the picture")]
    row: int
    digit: Annotated[int, Field(ge=0, le=9)]
    probabilities: Annotated[list[float], Field(description="for the digits 0 to 9")]
    unsure: Annotated[list[int], Field(description="the digits it could be; empty if the prediction is clear")]
    perhaps_none: Annotated[bool, Field(description="whether it may be no digit at all")]
    seen: Annotated[str, Field(description="what the network saw: a PNG as a data URI")]


class NoDigitAnswer(BaseModel):
    """Something that is no digit."""

    kind: str
    box: list[int]


class PictureAnswer(BaseModel):
    """The digits read in a picture."""

    model: str
    text: Annotated[str, Field(description="the digits in reading order, rows separated by a slash")]
    width: int
    height: int
    digits: list[DigitAnswer]
    left_out: Annotated[list[NoDigitAnswer], Field(description="what is in the picture and is no digit")]


class ModelAnswer(BaseModel):
    """The model that is served."""

    model: str
    trained_on: str
    networks: int


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class Bucket:
    """A token bucket: `per_second` requests a second on average, up to `burst` at once."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second, self.burst, self.clock = per_second, burst, clock
        self.level, self.at = float(burst), clock()

    def take(self) -> bool:
        """Take a token. Returns False if the bucket is empty."""
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
    403: {"model": Problem, "description": "request from another site's page"},
    408: {"model": Problem, "description": "the body did not arrive in time"},
    413: {"model": Problem, "description": "too large"},
    415: {"model": Problem, "description": "unsupported type"},
    422: {"model": Problem, "description": "not a picture, or no digit found in it"},
    429: {"model": Problem, "description": "too many requests"},
}
BODY = {"required": True, "content": {each: {"schema": {"type": "string", "format": "binary"}} for each in TYPES}}


def make_app(reader: Reader, *, hosts: list[str] | None = None, bucket: Bucket | None = None) -> FastAPI:
    """The application. `hosts`: the Host headers that it accepts, against DNS rebinding; None accepts any."""
    app = FastAPI(
        title="digits", version="1", description="Reads handwritten digits in pictures.", docs_url=None, redoc_url=None
    )
    limit = bucket or Bucket(REQUESTS_PER_SECOND, BURST)
    one_at_a_time = asyncio.Semaphore(1)  # one prediction already uses all processors

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
        """The model that is served."""
        one = reader.model
        return ModelAnswer(model=one.name, trained_on=one.dataset, networks=one.member_count)

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
    """Refuse requests that another site's page makes through its visitor's browser."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    try:
        asking = urlsplit(origin).netloc
    except ValueError:  # such as http://[
        asking = ""
    if asking != request.headers.get("host", ""):
        raise _Refused(403, "request from another site's page; use the page of this server")


async def _body(request: Request) -> bytes:
    """The request's body, limited in size and time."""
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                content += piece
                if len(content) > LARGEST_BODY:
                    raise _Refused(413, f"the picture is larger than {LARGEST_BODY // 2**20} MB; send a smaller one")
    except TimeoutError:
        raise _Refused(408, f"the picture did not arrive within {BODY_SECONDS:.0f} seconds; try again") from None
    return bytes(content)


def _read(reader: Reader, content: bytes) -> Reading:
    try:
        pixels = decode(content, LARGEST_PICTURE, formats=WEB_FORMATS)
    except UnreadablePicture as error:
        raise _Refused(422, str(error)) from error
    try:
        return reader.read_pixels(pixels, most_marks=MOST_MARKS)
    except TooManyMarks as error:
        raise _Refused(422, f"the picture has {error}; send a part of it") from error
    except (cv2.error, ValueError) as error:
        raise _Refused(422, "cannot search this picture for digits; try another one") from error


def _answer(reader: Reader, reading: Reading) -> PictureAnswer:
    if not reading.digits:
        raise _Refused(422, nothing_found(reading.left_out))
    digits = []
    for digit in reading.digits:
        buffer = io.BytesIO()
        Image.fromarray(digit.image).save(buffer, format="PNG")
        seen = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        digits.append(DigitAnswer(**digit_document(digit), seen=seen))
    return PictureAnswer(
        model=reader.model.name, text=reading.text, width=reading.width, height=reading.height, digits=digits,
        left_out=[NoDigitAnswer(**left_out_document(one)) for one in reading.left_out],
    )  # fmt: skip


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free port.

    Raises UsageError for a bad host or port, EnvironmentFailure if the address cannot be listened on.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port must be between 0 and 65,535, got {port:,}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"--host {host!r} is not an address of this machine; use 127.0.0.1") from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()  # from now on clients wait instead of being refused
    except (OSError, OverflowError) as error:
        opened.close()
        said = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFailure(f"cannot listen on {host}:{port} ({said}); choose another --port") from error
    return opened


def url_of(opened: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(opened: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    return ipaddress.ip_address(opened.getsockname()[0].partition("%")[0]).is_loopback


class ImpatientProtocol(H11Protocol):
    """Closes connections on which no whole request has come for a while: they would keep others out."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(REQUEST_SECONDS, self._close_if_idle, None)

    def _close_if_idle(self, last: object) -> None:
        """last: what was being answered when this was called before."""
        if self.transport.is_closing():
            return
        if self.cycle is last and (last is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self.loop.call_later(REQUEST_SECONDS, self._close_if_idle, self.cycle)


def config_of(app: FastAPI) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app, log_level="warning", access_log=False, limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=5,
        server_header=False, date_header=False, lifespan="off", ws="none", http=ImpatientProtocol,
    )  # fmt: skip


def serve(reader: Reader, opened: socket.socket) -> None:
    """Serve until the process is told to stop."""
    hosts = ["localhost", "127.0.0.1", "[::1]"] if is_loopback(opened) else None
    uvicorn.Server(config_of(make_app(reader, hosts=hosts))).run(sockets=[opened])

import base64
import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import hypothesis
import numpy as np
import pytest
import requests
import schemathesis
import uvicorn
from fastapi import FastAPI
from PIL import Image
from schemathesis.specs.openapi.checks import positive_data_acceptance

from digits_core.delivery.reader import Reader
from digits_core.delivery.server import (
    LARGEST_BODY,
    MOST_CONNECTIONS,
    MOST_MARKS,
    Bucket,
    config_of,
    is_loopback,
    listen,
    make_app,
    url_of,
)
from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.inference.classifier import open_classifier
from digits_core.runs.run import Run
from tests.helpers.command_line import run
from tests.helpers.pictures import draw

PNG = {"Content-Type": "image/png"}
FREE = Bucket(1e9, 10**9)


@pytest.fixture
def reader(sweep_store: Run) -> Reader:
    return Reader(open_classifier(sweep_store.folder.parent, "tiny/0"))


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application on a port of its own, in a thread; its address without the last slash."""
    with listen("127.0.0.1", 0) as opened:
        server = uvicorn.Server(config_of(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield url_of(opened).rstrip("/")
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def address(reader: Reader) -> Iterator[str]:
    with serving(make_app(reader, hosts=["127.0.0.1"], bucket=FREE)) as url:
        yield url


def post(address: str, content: bytes, headers: dict[str, str] = PNG) -> requests.Response:
    return requests.post(f"{address}/predict", data=content, headers=headers, timeout=60)


def a_picture(tmp_path: Path, digit: int = 7) -> bytes:
    draw(tmp_path / "a.png", digit)
    return (tmp_path / "a.png").read_bytes()


def test_the_server_reads_a_picture_as_predict_does(address: str, tmp_path: Path, sweep_store: Run) -> None:
    response = post(address, a_picture(tmp_path))
    assert response.status_code == 200
    said = response.json()
    arguments = ("--runs", str(sweep_store.folder.parent), "--model", "tiny/0", "--json")
    (expected,) = json.loads(run("predict", str(tmp_path / "a.png"), *arguments)[1])["images"]
    (digit,) = said["digits"]
    seen = digit.pop("seen")
    assert digit == expected["digits"][0]
    assert said["text"] == expected["text"]
    assert said["model"] == "tiny/0"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen.removeprefix("data:image/png;base64,")))))
    assert image.shape == (8, 8)


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"", PNG, 422, "empty"),
        (b"no picture", PNG, 422, "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, PNG, 422, "not a picture|damaged"),
        (b"x", {"Content-Type": "text/plain"}, 415, "image/png"),
        (b"x", {}, 415, "image/png"),
        (b"x" * (LARGEST_BODY + 1), PNG, 413, "larger than 8 MB"),
        (b"x", {**PNG, "Origin": "http://evil.example"}, 403, "another site"),
        (b"x", {**PNG, "Origin": "http://["}, 403, "another site"),
        (b"x", {**PNG, "Origin": "null"}, 403, "another site"),
        (b"x", {**PNG, "Host": "evil.example"}, 400, ""),
    ],
)
def test_hostile_requests_get_a_one_line_error(
    address: str, content: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    response = post(address, content, headers)
    assert response.status_code == status
    if status != 400:
        assert re.search(message, response.json()["error"])
        assert "\n" not in response.json()["error"]


def test_a_decompression_bomb_and_a_blank_picture(address: str) -> None:
    for size, message in (((20_000, 20_000), "over the limit of 16 million"), ((200, 200), "no digit found")):
        buffer = io.BytesIO()
        Image.new("1", size, 1).save(buffer, format="PNG")
        response = post(address, buffer.getvalue())
        assert response.status_code == 422
        assert message in response.json()["error"]


def test_the_work_on_one_picture_is_limited(address: str) -> None:
    page = np.full((1200, 1200), 255, np.uint8)
    for place in range(MOST_MARKS + 1):
        row, column = divmod(place, 20)
        page[row * 60 + 10 : row * 60 + 45, column * 60 + 20 : column * 60 + 26] = 0
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, format="PNG")
    response = post(address, buffer.getvalue())
    assert response.status_code == 422
    assert response.json()["error"] == "the picture has 201 marks; at most 200 are read; send a part of it"


def test_silent_connections_do_not_keep_others_out(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digits_core.delivery.server.REQUEST_SECONDS", 1.0)
    place = urlsplit(address)
    with contextlib.ExitStack() as stack:
        for number in range(MOST_CONNECTIONS + 1):
            silent = stack.enter_context(socket.create_connection((place.hostname, place.port)))
            silent.sendall(b"POST /predict HTTP/1.1\r\nHost: 1" if number % 2 else b"")
        assert post(address, b"").status_code == 503
        deadline = time.monotonic() + 20
        while post(address, b"").status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert post(address, a_picture(tmp_path)).status_code == 200


def test_too_many_requests_are_refused(reader: Reader, tmp_path: Path) -> None:
    moment = [0.0]
    content = a_picture(tmp_path)
    with serving(make_app(reader, bucket=Bucket(2, 3, clock=lambda: moment[0]))) as url:
        assert [post(url, content).status_code for _ in range(4)] == [200, 200, 200, 429]
        moment[0] += 0.5
        assert post(url, content).status_code == 200


def test_the_page_loads_nothing_from_elsewhere(address: str) -> None:
    for path in ("/", "/draw.js", "/draw.css"):
        response = requests.get(address + path, timeout=30)
        assert response.status_code == 200
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "//" not in re.sub(r"^\s*//.*|; // .*", "", response.text, flags=re.M).replace("</", "")
    assert requests.get(address + "/docs", timeout=30).status_code == 404
    assert requests.get(address + "/model", timeout=30).json() == {
        "model": "tiny/0",
        "trained_on": "sklearn-digits",
        "networks": 1,
    }


def test_listening_addresses() -> None:
    with listen("127.0.0.1", 0) as opened:
        assert is_loopback(opened)
        port = opened.getsockname()[1]
        assert url_of(opened) == f"http://127.0.0.1:{port}/"
        with pytest.raises(EnvironmentFailure, match="choose another --port"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="--port must be between"):
        listen("127.0.0.1", 70_000)
    with pytest.raises(UsageError, match="is not an address of this machine"):
        listen("no such host", 0)


def test_the_endpoint_matches_its_openapi_schema(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    paths = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        paths.add(operation.path)

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))
        def check(case: schemathesis.Case) -> None:
            # A schema cannot say which bytes are a picture with a digit in it, so valid requests may be refused.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
    assert paths == {"/predict", "/model"}


@pytest.fixture
def mnist_address(mnist_runs: Path) -> Iterator[str]:
    with serving(make_app(Reader(open_classifier(mnist_runs, None)), bucket=FREE)) as url:
        yield url


@pytest.mark.mnist
@pytest.mark.browser
def test_a_drawn_seven_is_read_as_seven(mnist_address: str) -> None:
    from tests.helpers.pages import CHROMIUM

    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import expect, sync_playwright

    messages: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(mnist_address)
        box = page.locator("#paper").bounding_box()
        assert box is not None

        def stroke(*points: tuple[float, float]) -> None:
            places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place, steps=12)
            page.mouse.up()

        stroke((0.3, 0.22), (0.68, 0.22), (0.45, 0.8))
        expect(page.locator("#answer")).to_have_text("7")
        expect(page.locator("#digits meter")).to_have_count(3)
        assert page.locator("#digits strong").first.text_content() == "7"
        page.keyboard.press("Escape")
        expect(page.locator("#digits li")).to_have_count(0)
        stroke((0.2, 0.25), (0.2, 0.75))
        stroke((0.6, 0.25), (0.8, 0.25), (0.68, 0.75))
        expect(page.locator("#answer")).to_have_text("17")
        browser.close()
    # The first dot of a stroke is no digit: a slow machine has asked about it before the rest was drawn (422).
    assert [message for message in messages if "422" not in message] == []


def test_the_command_serves_until_it_is_stopped(sweep_store: Run) -> None:
    digits = Path(sys.executable).with_name("digits")
    arguments = ["serve", "--model", "tiny/0", "--port", "0", "--runs", str(sweep_store.folder.parent), "--json"]
    pipe = subprocess.PIPE
    process = subprocess.Popen([digits, *arguments], stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        url = json.loads(text)["url"]
        assert url.startswith("http://127.0.0.1:")
        with urlopen(url + "model", timeout=30) as response:  # noqa: S310
            assert json.load(response)["model"] == "tiny/0"
        foreign = Request(url + "model", headers={"Host": "evil.example"})  # noqa: S310 - as after DNS rebinding
        with pytest.raises(HTTPError, match="400"):
            urlopen(foreign, timeout=30)  # noqa: S310
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.strip() == "interrupted"

"""A local S3 server for the tests (moto), and folders in it."""

import itertools
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "as well",
    "AWS_REGION": "us-east-1",
}
_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The host:port of a server on the loopback interface, with one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings from its dependencies
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        _one_at_a_time(server)
        host, port = server.get_host_and_port()
        client = boto3.client(
            "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        client.create_bucket(Bucket="bucket")
        client.close()
        yield f"{host}:{port}"
        server.stop()


def _one_at_a_time(server: "ThreadedMotoServer") -> None:
    """Make a write that asks for a condition atomic, as S3's are: moto looks first and writes a moment later."""
    assert server._server is not None
    app, lock = server._server.app, threading.Lock()

    def locked(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with lock:
            return list(app(environ, start_response))

    server._server.app = locked


@pytest.fixture
def s3_url(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty folder in the bucket; the server and the credentials are in the environment."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{s3_address}"}.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/team/{next(_numbers)}"

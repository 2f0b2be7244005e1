"""A local S3 server for the tests (moto), and folders in it."""

import itertools
import logging
import warnings
from collections.abc import Iterator

import pytest

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


@pytest.fixture
def s3_url(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty folder in the bucket; the server and the credentials are in the environment."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{s3_address}"}.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/team/{next(_numbers)}"

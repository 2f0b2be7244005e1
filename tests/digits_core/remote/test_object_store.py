import socket
from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.object_store import ObjectStore, url_of


def test_files_are_listed_read_fetched_and_removed(s3_url: str, tmp_path: Path) -> None:
    store = ObjectStore(url=s3_url)
    assert store.entries() == {}
    store.write("one/sweep.json", b"{}")
    store.write("one/trials/00007/record.json", b"12345")
    store.write("one/trials/00007/record.json", b"123456")
    assert {name: size for name, (size, _) in store.entries().items()} == {
        "one/sweep.json": 2, "one/trials/00007/record.json": 6,
    }  # fmt: skip
    assert list(store.entries("one/trials")) == ["one/trials/00007/record.json"]
    assert store.entries("other") == {}
    assert store.read("one/sweep.json") == b"{}"
    assert store.fetch("one/trials/00007/record.json", tmp_path / "a" / "b.json")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"123456"
    store.remove("one/sweep.json")
    store.remove("one/sweep.json")
    assert store.read("one/sweep.json") is None
    assert not store.fetch("one/sweep.json", tmp_path / "c.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_unsafe_names_are_skipped(s3_url: str) -> None:
    store = ObjectStore(url=s3_url)
    for name in ("one/.hidden", "one/-x", "one/a b", "one/ä.json", "one/x.json"):
        store.write(name, b"x")
    assert list(store.entries()) == ["one/x.json"]


@pytest.mark.parametrize(
    ("runs", "url"),
    [
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("s3://bucket/a?region=eu-west-1", "s3://bucket/a?region=eu-west-1"),
        ("runs", None),
        ("/abs/s3:/x", None),
        ("./s3:/x/y", None),
    ],
)
def test_a_url_survives_conversion_to_a_path(runs: str, url: str | None) -> None:
    assert url_of(Path(runs)) == url or runs.startswith("./")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("gs://bucket/a", "--runs takes a folder or s3://BUCKET/FOLDER, not gs://"),
        ("s3://bucket", "does not name a folder in a bucket: write s3://BUCKET/FOLDER"),
        ("s3://../a", "does not name a folder in a bucket"),
        ("s3://bucket/a/../b", "does not name a folder in a bucket"),
        ("s3://bucket/a%2Fb", "does not name a folder in a bucket"),
        ("s3://key:secret@bucket/a", "does not name a folder in a bucket.*taken from the environment"),
        ("s3://k:a@secret@bucket/a", "does not name a folder in a bucket"),
        ("s3://bucket/a?foo=1", "after the question mark only region=NAME"),
        ("s3://bucket/a?access_key=k&secret_key=secret", "after the question mark.*taken from the environment"),
        ("s3://bucket/a?endpoint_override=http://u:secret@h:1", "after the question mark"),
    ],
)
def test_a_malformed_address_is_refused_without_printing_secrets(runs: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        url_of(Path(runs))
    assert "secret" not in str(caught.value)


def test_a_missing_bucket_and_an_unreachable_server(s3_url: str) -> None:
    with pytest.raises(EnvironmentFailure, match="there is no bucket nowhere; check the address"):
        ObjectStore(url=s3_url.replace("//bucket/", "//nowhere/")).entries()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nobody = f"s3://bucket/x?endpoint_override=127.0.0.1:{held.getsockname()[1]}&scheme=http&region=us-east-1"
        with pytest.raises(EnvironmentFailure, match=r"network connection \(Could not connect to server\)"):
            ObjectStore(url=nobody).entries()

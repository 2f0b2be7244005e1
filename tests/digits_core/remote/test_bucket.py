from pathlib import Path

import pytest

from digits_core.errors import EnvironmentFailure, UsageError
from digits_core.remote.bucket import Bucket, Conflict, check_elsewhere


def test_what_is_written_is_read_and_listed(bucket: Bucket) -> None:
    assert bucket.read("x/a.json") is None
    bucket.write("x/a.json", b"1")
    bucket.write("x/b/c.json", b"2")
    bucket.write("y/d.json", b"3")
    stored = bucket.read("x/a.json")
    assert stored is not None
    assert stored.content == b"1"
    assert bucket.names("x") == ["a.json", "b/c.json"]
    assert bucket.folders() == ["x", "y"]
    bucket.remove(["x/a.json", "x/none"])
    assert bucket.names("x") == ["b/c.json"]


def test_a_conditional_write_succeeds_once(bucket: Bucket) -> None:
    first = bucket.write_if("x/a", b"1", None)
    with pytest.raises(Conflict):
        bucket.write_if("x/a", b"2", None)
    second = bucket.write_if("x/a", b"3", first)
    with pytest.raises(Conflict):
        bucket.write_if("x/a", b"4", first)
    bucket.remove(["x/a"])
    with pytest.raises(Conflict):
        bucket.write_if("x/a", b"5", second)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://key:secret@bucket/x", "does not name a folder in a bucket"),
        ("s3://bucket/../x", "does not name a folder in a bucket"),
        ("s3://bucket/x?secret=1", "does not name a folder in a bucket"),
        *((empty, "does not name a folder in a bucket") for empty in ("s3://", "s3:", "s3:/", "s3:///x", "gs:")),
        ("ftp://user:secret@host/x", r"is s3://BUCKET/FOLDER, gs://..., az://... or a folder, not ftp://"),
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        check_elsewhere(address)
    assert "secret" not in str(refused.value)


def test_a_bucket_that_is_missing_or_out_of_reach_is_one_line(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Bucket("s3://no-such-bucket/x")
    for use in (lambda: missing.read("a"), lambda: missing.write("a", b""), missing.folders):
        with pytest.raises(EnvironmentFailure, match=r"cannot use s3://no-such-bucket/x: .*NoSuchBucket.*exist"):
            use()
    with pytest.raises(EnvironmentFailure, match="NoSuchBucket"):
        missing.write_if("a", b"", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("digits_core.remote.bucket.RETRIES", {"max_retries": 0})
    with pytest.raises(EnvironmentFailure, match="cannot use s3://bucket") as refused:
        Bucket(s3_url).read("a")
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match=r"cannot use .*file/x: Not a directory"):
        Bucket(str(tmp_path / "file" / "x")).create()
    with pytest.raises(EnvironmentFailure, match="there is no folder"):
        Bucket(str(tmp_path / "none")).folders()

from pathlib import Path

import pytest

from digits_core.remote.bucket import Bucket


@pytest.fixture(params=["bucket", "folder"])
def bucket(request: pytest.FixtureRequest, s3_url: str, tmp_path: Path) -> Bucket:
    """A place in a bucket, and one on disk: both keep the same promises."""
    place = Bucket(s3_url if request.param == "bucket" else str(tmp_path / "elsewhere"))
    place.create()
    return place

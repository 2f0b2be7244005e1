"""Local copies of one bucket on simulated machines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from digits_core.remote.mirror import Mirror

Machine = Callable[[str], Mirror]


@pytest.fixture
def machine(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return the local copy of the named machine; each machine has its own cache folder."""

    def copy_of(name: str) -> Mirror:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        found = Mirror.of(Path(s3_url))
        assert found is not None
        return found

    return copy_of


def write(copy: Mirror, name: str, text: str) -> Path:
    path = copy.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def files(copy: Mirror) -> dict[str, str]:
    paths = [path for path in copy.folder.glob("[!.]*/**/*") if path.is_file() and path.name != "driver.lock"]
    return {path.relative_to(copy.folder).as_posix(): path.read_text() for path in paths}

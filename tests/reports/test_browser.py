import shutil
import subprocess
from pathlib import Path

import pytest

from digits_core.store import SweepStore
from reports.pages import write_report
from sweeps.config import EnsembleConfig
from sweeps.ensembling import build_ensemble
from tests.reports.test_pages import Page, hostile_store  # noqa: F401 - the fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def open_in_browser(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what it said on the console."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--enable-logging=stderr",
         "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_page_draws_its_charts_and_says_nothing_on_the_console(sweep_store: SweepStore, tmp_path: Path) -> None:
    build_ensemble(sweep_store, EnsembleConfig(top=3))
    document, console = open_in_browser(write_report(sweep_store), tmp_path / "profile")
    assert console == []
    assert document.count('class="main-svg"') >= 2
    page = Page(document)
    points = [
        attributes
        for tag, attributes in page.tags
        if tag == "path" and "point" in (attributes.get("class") or "").split()
    ]
    assert len(points) == 4 + 4 + 1  # trials in the history, chosen epochs, the training of a trial with one epoch


def test_hostile_page_runs_nothing_of_theirs(hostile_store: SweepStore, tmp_path: Path) -> None:  # noqa: F811
    document, console = open_in_browser(write_report(hostile_store), tmp_path / "profile")
    assert console == []
    assert not any("onerror" in attributes for _, attributes in Page(document).tags)
    assert document.count('class="main-svg"') >= 2

"""Fixtures for the tests of rows, charts and pages."""

import json
from dataclasses import asdict, replace

import pytest

from digits_core.runs.run import Run
from tests.helpers.runs import HOSTILE, reread


@pytest.fixture
def hostile_store(sweep_store: Run) -> Run:
    """A sweep in which every free text tries to break out of the page's HTML."""
    header = replace(
        sweep_store.header, name=HOSTILE, hardware=HOSTILE, space={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    return reread(sweep_store)

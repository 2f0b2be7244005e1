"""Fixtures for the tests of rows, charts and pages."""

import json
from dataclasses import asdict, replace

import pytest

from digits_core.runs.store import SweepStore
from tests.helpers.runs import HOSTILE


@pytest.fixture
def hostile_store(sweep_store: SweepStore) -> SweepStore:
    """A sweep in which every free text tries to break out of the page's HTML."""
    header = replace(
        sweep_store.header, name=HOSTILE, hardware=HOSTILE, space={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    return sweep_store

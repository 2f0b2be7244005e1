from pathlib import Path

import numpy as np
import pytest

from digits_core.runs import trial_folder
from digits_core.runs.durable import Content, write_atomically
from digits_core.runs.trial_folder import PREDICTIONS, WEIGHTS, TrialWriter
from tests.helpers.records import record


@pytest.mark.parametrize("missing", [PREDICTIONS, WEIGHTS])
def test_a_record_stands_for_files_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def write_until_full(path: Path, content: bytes | Content, *, durable: bool = True) -> None:
        if path.name == missing:
            raise OSError(28, "No space left on device")
        write_atomically(path, content, durable=durable)

    folder, best = TrialWriter(tmp_path / "00000"), dict.fromkeys((PREDICTIONS, WEIGHTS), np.zeros(9, np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr(trial_folder, "write_atomically", write_until_full)
        with pytest.raises(OSError, match="No space left"):
            folder.complete(record(0), best)
    assert folder.read_record() is None
    folder.complete(record(0), best)
    assert folder.read_record() == record(0)
    assert {path.name for path in folder.folder.iterdir()} == {PREDICTIONS, WEIGHTS, "record.json"}

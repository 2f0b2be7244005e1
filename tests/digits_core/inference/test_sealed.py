import dataclasses
import json

import numpy as np
import pytest

from digits_core.data.digits import Digits, sealed_test_part
from digits_core.errors import EnvironmentFailure
from digits_core.inference.sealed import open_test
from digits_core.metrics import score
from digits_core.runs.run import Run
from tests.helpers.runs import reread, spoil


def test_opening_is_counted_and_kept(sweep_store: Run, digits: Digits) -> None:
    records = reread(sweep_store).ranked[:2]
    assert not sweep_store.has_opened_test(records[0].trial)
    probabilities = open_test(sweep_store, records, "a test")
    test, indices = sealed_test_part(digits)
    assert probabilities.shape == (2, len(test), 10)
    assert np.array_equal(reread(sweep_store).test_labels, test.labels)
    assert np.array_equal(reread(sweep_store).test_indices, indices)
    assert score(reread(sweep_store).test_labels, probabilities[0]).accuracy > 0.7  # three epochs of training
    again = open_test(sweep_store, records[:1], "another")
    assert np.array_equal(again[0], probabilities[0])
    assert [(o.number, o.purpose, o.trials) for o in reread(sweep_store).ledger] == [
        (1, "a test", tuple(f.trial for f in records)),
        (2, "another", (records[0].trial,)),
    ]


def test_missing_weights_open_nothing(sweep_store: Run) -> None:
    leader = reread(sweep_store).ranked[0]
    (sweep_store.trial(leader.trial).folder / "weights.safetensors").unlink()
    with pytest.raises(EnvironmentFailure, match="weights"):
        open_test(sweep_store, [leader], "a test")
    assert reread(sweep_store).ledger == ()


def test_weights_of_another_network_open_nothing(sweep_store: Run) -> None:
    leader, other = sweep_store.trial(0), sweep_store.trial(1)  # a cnn and an mlp
    (leader.folder / "weights.safetensors").write_bytes((other.folder / "weights.safetensors").read_bytes())
    spoil(leader.folder / "record.json", files={})  # an older version's
    records = [record for record in reread(sweep_store).records if record.trial == 0]
    with pytest.raises(EnvironmentFailure, match=r"not this recipe's weights\); restore it .* move .*00000"):
        open_test(sweep_store, records, "a test")
    assert reread(sweep_store).ledger == ()


def test_another_data_set_opens_nothing(sweep_store: Run) -> None:
    header = dataclasses.replace(reread(sweep_store).header, data_checksum="0" * 64)
    (sweep_store.folder / "sweep.json").write_text(json.dumps(dataclasses.asdict(header)))
    with pytest.raises(EnvironmentFailure, match="on this machine is not the one 'tiny' was trained on"):
        open_test(sweep_store, reread(sweep_store).ranked[:1], "a test")
    assert reread(sweep_store).ledger == ()


def test_another_split_opens_nothing(sweep_store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digits_core.data.digits.SPLIT_SEED", 1)
    with pytest.raises(EnvironmentFailure, match="test set contains images that the run was trained on"):
        open_test(sweep_store, reread(sweep_store).ranked[:1], "a test")
    assert reread(sweep_store).ledger == ()

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.judging.candidates import leading_record
from digits_core.runs.store import SweepStore
from reports.pages.report import write_report
from reports.rows.inside import filter_picture, read_inside
from sweeps.finishing.insight import keep_inside
from tests.helpers.runs import train_into


@pytest.fixture
def convolutional(sweep_store: SweepStore) -> SweepStore:
    """`sweep_store`, led by a network with convolutions."""
    (sweep_store.trial(1).folder / "record.json").unlink()  # the mlp
    return sweep_store


def test_what_was_kept_of_the_leader_is_on_the_page(convolutional: SweepStore, digits: Digits) -> None:
    assert 'id="inside"' not in write_report(convolutional).read_text()
    assert keep_inside(convolutional) == ""
    leader = convolutional.ranked()[0]
    inside = read_inside(convolutional, leader.trial)
    assert inside is not None
    assert np.array_equal(inside.labels, digits.labels[inside.images])
    said = convolutional.validation_probabilities(leader.trial).argmax(axis=1)
    position = {index: place for place, index in enumerate(convolutional.validation_indices().tolist())}
    assert inside.answers.tolist() == [said[position[index]] for index in inside.images.tolist()]
    assert len(inside.scatters) == 4
    assert all(scatter.points.shape == (len(inside.images), 2) for scatter in inside.scatters)
    weights = convolutional.trial(leader.trial).weights()
    first = next(value for value in weights.values() if value.ndim == 4)
    assert inside.filter_count == len(first)
    side = first.shape[-1]
    assert inside.filters is not None
    brightest = np.unravel_index(np.abs(first[:, 0]).argmax(), first[:, 0].shape)
    row, column = divmod(int(brightest[0]), 16)
    pixel = inside.filters[row * (side + 1) + brightest[1], column * (side + 1) + brightest[2]]
    assert pixel.tolist() == ([213, 94, 0] if first[:, 0][brightest] > 0 else [0, 114, 178])
    page = write_report(convolutional).read_text()
    assert 'id="inside"' in page
    assert f"Its {len(first)} filters" in page


def test_maps_belong_to_the_image_shown(convolutional: SweepStore, digits: Digits) -> None:
    keep_inside(convolutional)
    bundle = convolutional.trial(convolutional.ranked()[0].trial).read_inside()
    assert bundle is not None
    maps = bundle.arrays["maps-0"].astype(float)
    assert maps.min() == 0
    assert maps.max() == 1
    # A map correlates with the ink; with its axes in another order it would not.
    ink = digits.images[int(bundle.facts["shown"])].astype(float)
    resized = [one for one in maps if one.shape == ink.shape]
    assert max(abs(np.corrcoef(one.ravel(), ink.ravel())[0, 1]) for one in resized) > 0.5


def test_the_inside_is_stored_once_and_for_the_confirmed_leader(sweep_store: SweepStore, split: Split) -> None:
    confirmed = SweepStore.create(
        sweep_store.folder, replace(sweep_store.header, name="confirmed", kind="confirmation"), split
    )
    second = sweep_store.ranked()[1]
    train_into(confirmed, split, 0, second.recipe.with_overrides({"training.seed": 50}), 3, f"trial {second.trial}")
    record = leading_record(sweep_store)
    assert record is not None
    assert record.trial == second.trial
    keep_inside(sweep_store)
    path = sweep_store.trial(second.trial).folder / "inside.safetensors"
    before = path.stat().st_mtime_ns
    keep_inside(sweep_store)
    assert path.stat().st_mtime_ns == before


def test_what_is_missing_is_reported_and_costs_only_the_pictures(sweep_store: SweepStore) -> None:
    leader = sweep_store.trial(sweep_store.ranked()[0].trial)
    weights = leader.folder / "weights.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    assert "weights.safetensors" in keep_inside(sweep_store)
    weights.write_bytes(content[: len(content) // 2])
    assert "weights.safetensors" in keep_inside(sweep_store)
    weights.write_bytes(content)
    header = sweep_store.header
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(replace(header, data_checksum="0" * 64))))
    assert "on this machine is not the one this run was trained on" in keep_inside(sweep_store)
    assert leader.read_inside() is None
    (sweep_store.folder / "sweep.json").write_text(json.dumps(asdict(header)))
    keep_inside(sweep_store)
    inside = leader.folder / "inside.safetensors"
    inside.write_bytes(inside.read_bytes()[:300])
    assert 'id="inside"' not in write_report(sweep_store).read_text()
    inside.unlink()
    keep_inside(sweep_store)
    bundle = leader.read_inside()
    assert bundle is not None
    arrays = dict(bundle.arrays)
    for name, spoilt in (
        ("answers", arrays["answers"][:3]),
        ("pixels-components", arrays["pixels-components"] * np.nan),
    ):
        leader.write_inside(replace(bundle, arrays=arrays | {name: spoilt}))
        assert read_inside(sweep_store, sweep_store.ranked()[0].trial) is None


def test_a_filter_that_is_zero_is_white() -> None:
    assert (filter_picture(np.zeros((3, 2, 2), dtype=np.float32)) == 255).all()


def test_a_network_without_convolutions_has_its_embedding_alone(sweep_store: SweepStore) -> None:
    assert sweep_store.ranked()[0].recipe.model.name == "mlp"
    keep_inside(sweep_store)
    inside = read_inside(sweep_store, sweep_store.ranked()[0].trial)
    assert inside is not None
    assert (inside.filters, inside.layers) == (None, ())
    assert len(inside.scatters) == 4
    page = write_report(sweep_store).read_text()
    assert "Inside the model" in page
    assert "first convolution" not in page

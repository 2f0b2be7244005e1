from dataclasses import replace

import numpy as np
import pytest

from digits_core.data.digits import Digits, Split
from digits_core.judging.candidates import Candidate, leader
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.pages.report import write_report
from reports.rows.inside import filter_picture, read_inside
from sweeps.finishing.insight import keep_inside
from tests.helpers.runs import train_into


def leader_of(run: Run) -> Candidate:
    """The leader as it is now."""
    found = leader(Run(run.folder))
    assert found is not None
    return found


@pytest.fixture
def convolutional(sweep_store: Run) -> Run:
    """`sweep_store`, led by a network with convolutions."""
    (sweep_store.trial(1).folder / "record.json").unlink()  # the mlp
    return sweep_store


def test_what_was_kept_of_the_leader_is_on_the_page(convolutional: Run, digits: Digits) -> None:
    assert 'id="inside"' not in write_report(convolutional).read_text()
    assert keep_inside(convolutional) == ""
    best = convolutional.ranked[0]
    inside = read_inside(leader_of(convolutional))
    assert inside is not None
    assert np.array_equal(inside.labels, digits.labels[inside.images])
    said = convolutional.validation_probabilities(best.trial).argmax(axis=1)
    position = {index: place for place, index in enumerate(convolutional.validation_indices.tolist())}
    assert inside.answers.tolist() == [said[position[index]] for index in inside.images.tolist()]
    assert len(inside.scatters) == 4
    assert all(scatter.points.shape == (len(inside.images), 2) for scatter in inside.scatters)
    weights = convolutional.trial(best.trial).weights(best)
    first = next(value for value in weights.values() if value.ndim == 4)
    assert inside.filter_count == len(first)
    side = first.shape[-1]
    assert inside.filters is not None
    brightest = np.unravel_index(np.abs(first[:, 0]).argmax(), first[:, 0].shape)
    row, column = divmod(int(brightest[0]), 16)
    pixel = inside.filters[row * (side + 1) + brightest[1], column * (side + 1) + brightest[2]]
    assert pixel.tolist() == ([213, 94, 0] if first[:, 0][brightest] > 0 else [0, 114, 178])
    page = write_report(Run(convolutional.folder)).read_text()
    assert 'id="inside"' in page
    assert f"Its {len(first)} filters" in page


def test_maps_belong_to_the_image_shown(convolutional: Run, digits: Digits) -> None:
    keep_inside(convolutional)
    bundle = convolutional.trial(convolutional.ranked[0].trial).read_inside()
    assert bundle is not None
    maps = bundle.arrays["maps-0"].astype(float)
    assert maps.min() == 0
    assert maps.max() == 1
    # A map correlates with the ink; with its axes in another order it would not.
    ink = digits.images[int(bundle.facts["shown"])].astype(float)
    resized = [one for one in maps if one.shape == ink.shape]
    assert max(abs(np.corrcoef(one.ravel(), ink.ravel())[0, 1]) for one in resized) > 0.5


def test_the_inside_is_stored_once_and_for_the_confirmed_leader(sweep_store: Run, split: Split) -> None:
    confirmed = RunWriter.create(
        sweep_store.folder, replace(sweep_store.header, name="confirmed", kind="confirmation"), split
    )
    second = sweep_store.ranked[1]
    train_into(confirmed, split, 0, second.recipe.with_overrides({"training.seed": 50}), 3, f"trial {second.trial}")
    leads = leader_of(sweep_store)
    assert (leads.trial, leads.home.folder, leads.runs[0].trial) == (second.trial, confirmed.folder, 0)
    assert keep_inside(Run(sweep_store.folder)) == ""
    path = confirmed.trial(0).folder / "inside.safetensors"  # of the run that makes it the leader
    assert not (sweep_store.trial(second.trial).folder / path.name).exists()
    inside = read_inside(leader_of(sweep_store))
    assert inside is not None
    assert inside.trial == second.trial
    before = path.stat().st_mtime_ns
    assert keep_inside(Run(sweep_store.folder)) == ""
    assert path.stat().st_mtime_ns == before


def test_what_is_missing_is_reported_and_costs_only_the_pictures(sweep_store: Run) -> None:
    best, folder, writer = sweep_store.ranked[0], sweep_store.folder, RunWriter(sweep_store.folder)
    trial = writer.trial(best.trial)
    weights = trial.folder / "weights.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    assert "weights.safetensors" in keep_inside(Run(folder))
    weights.write_bytes(content[: len(content) // 2])
    assert "weights.safetensors" in keep_inside(Run(folder))
    weights.write_bytes(content)
    header = sweep_store.header
    writer.write_header(replace(header, data_checksum="0" * 64))
    assert "on this machine is not the one this run was trained on" in keep_inside(Run(folder))
    assert trial.read_inside() is None
    writer.write_header(header)
    assert keep_inside(Run(folder)) == ""
    inside = trial.folder / "inside.safetensors"
    inside.write_bytes(inside.read_bytes()[:300])
    assert 'id="inside"' not in write_report(Run(folder)).read_text()
    inside.unlink()
    assert keep_inside(Run(folder)) == ""
    bundle = trial.read_inside()
    assert bundle is not None
    arrays = dict(bundle.arrays)
    for name, spoilt in (
        ("answers", arrays["answers"][:3]),
        ("pixels-components", arrays["pixels-components"] * np.nan),
    ):
        trial.write_inside(replace(bundle, arrays=arrays | {name: spoilt}))
        assert read_inside(leader_of(sweep_store)) is None


def test_a_filter_that_is_zero_is_white() -> None:
    assert (filter_picture(np.zeros((3, 2, 2), dtype=np.float32)) == 255).all()


def test_a_network_without_convolutions_has_its_embedding_alone(sweep_store: Run) -> None:
    assert sweep_store.ranked[0].recipe.model.name == "mlp"
    keep_inside(sweep_store)
    inside = read_inside(leader_of(sweep_store))
    assert inside is not None
    assert (inside.filters, inside.layers) == (None, ())
    assert len(inside.scatters) == 4
    page = write_report(sweep_store).read_text()
    assert "Inside the model" in page
    assert "first convolution" not in page

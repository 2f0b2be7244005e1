from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from digits_core.recipe import Augmentation
from digits_core.training.augment import augmented

NONE = Augmentation(rotation_degrees=0, shear_degrees=0, zoom_fraction=0, shift_fraction=0)
ALL = Augmentation(rotation_degrees=30, shear_degrees=20, zoom_fraction=0.3, shift_fraction=0.2)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(16, 1, 12, 12, generator=stream(9))


def test_zero_limits_change_nothing(images: torch.Tensor) -> None:
    assert augmented(images, NONE, [stream()]) is images


def test_every_image_draws_its_own_parameters(images: torch.Tensor) -> None:
    same = images[:1].expand(16, -1, -1, -1)
    moved = augmented(same, ALL, [stream()])
    distances = torch.pdist(moved.flatten(1))
    assert distances.min() > 0.05


def test_the_generator_alone_decides(images: torch.Tensor) -> None:
    assert torch.equal(augmented(images, ALL, [stream(1)]), augmented(images, ALL, [stream(1)]))
    assert not torch.equal(augmented(images, ALL, [stream(1)]), augmented(images, ALL, [stream(2)]))


def test_input_is_never_written_to(images: torch.Tensor) -> None:
    before = images.clone()
    augmented(images, ALL, [stream()])
    assert torch.equal(images, before)


def test_sampling_equals_torchs_own_grid(images: torch.Tensor) -> None:
    # The same five draws, combined by torch.nn.functional.affine_grid instead of by one matrix product.
    draws = torch.rand(5, 16, generator=stream(3)) * 2 - 1
    angle = torch.deg2rad(draws[0] * ALL.rotation_degrees)
    shear = torch.tan(torch.deg2rad(draws[1] * ALL.shear_degrees))
    scale = 1 / (1 + draws[2] * ALL.zoom_fraction)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(16, 2, 2)
    shearing = torch.stack([torch.ones(16), shear, torch.zeros(16), torch.ones(16)], 1).view(16, 2, 2)
    matrix = scale[:, None, None] * rotation @ shearing
    shift = (draws[3:] * ALL.shift_fraction * 2).T[:, :, None]
    grid = F.affine_grid(torch.cat([matrix, shift], 2), [16, 1, 12, 12], align_corners=False)
    expected = F.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(augmented(images, ALL, [stream(3)]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "largest_offset"),
    [(Augmentation(rotation_degrees=0, shear_degrees=0, zoom_fraction=0, shift_fraction=0.25), 0.25 * 24)],
)
def test_shift_moves_the_ink_by_at_most_its_limit(settings: Augmentation, largest_offset: float) -> None:
    dots = torch.zeros(500, 1, 24, 24)
    dots[:, :, 11:13, 11:13] = 1
    moved = augmented(dots, settings, [stream()])
    columns = (moved.sum((1, 2)) * torch.arange(24)).sum(1) / moved.sum((1, 2, 3)) - 11.5
    assert columns.abs().max() <= largest_offset + 1e-3
    assert columns.abs().max() > 0.95 * largest_offset
    assert abs(float(columns.mean())) < 0.5


def test_elastic_bends_without_moving_the_mean_position_far() -> None:
    square = torch.zeros(64, 1, 28, 28)
    square[:, :, 8:20, 8:20] = 1
    bent = augmented(square, replace(NONE, elastic_fraction=0.08), [stream()])
    rows = torch.arange(28).float()
    centres = (bent.sum(dim=(1, 3)) @ rows) / bent.sum(dim=(1, 2, 3))
    assert (bent - square).abs().amax(dim=(1, 2, 3)).min() > 0.2  # every image is bent
    assert (centres - 13.5).abs().max() < 28 * 0.08
    assert torch.pdist(bent.flatten(1)).min() > 0.5  # each in its own way


def test_erasing_blanks_one_rectangle_of_the_stated_area_in_the_stated_share_of_images() -> None:
    white = torch.ones(2_000, 1, 28, 28)
    erased = augmented(white, replace(NONE, erasing_probability=0.3), [stream()])
    areas = 1 - erased.mean(dim=(1, 2, 3))
    hit = areas > 0
    assert float(hit.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert areas[hit].max() < 0.23
    assert areas[hit].min() > 0.01
    for image in erased[hit][:50, 0]:
        rows, columns = (image == 0).any(dim=1).nonzero().flatten(), (image == 0).any(dim=0).nonzero().flatten()
        assert not image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].any()  # filled, one piece

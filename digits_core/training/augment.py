"""Augments a whole batch at once, with random parameters drawn per image.

torchvision's v2 transforms draw one set of parameters per batch. Here every image has its own, at the cost of one
matrix product and one `grid_sample` per batch.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from digits_core.recipe import Augmentation

COARSE_SIDE = 4  # knots of the elastic field along each side
ERASED_AREA = (0.02, 0.2)  # of the image; Zhong et al. 2020 (arXiv 1708.04896) go to 0.4, which hides whole digits
ERASED_ASPECT = (0.3, 3.3)  # height by width, same source


Generators = Sequence[torch.Generator]


def augmented(images: torch.Tensor, settings: Augmentation, generators: Generators) -> torch.Tensor:
    """Transform each image at random: move and bend it in one bilinear sampling, then perhaps erase a rectangle.

    images: float (N, 1, H, W). generators: one per copy, on the images' device; each draws for an equal, consecutive
    part of the images, as if that were the whole batch. Returns a tensor of the same shape, or `images` itself if every
    setting is zero. Pixels that come in from outside the image are zero.
    """
    if moves(settings):
        images = F.grid_sample(images, _sampling_grid(images, settings, generators), align_corners=False)
    if settings.erasing_probability > 0:
        images = images * ~_erased(images, settings.erasing_probability, generators)
    return images


def moves(settings: Augmentation) -> bool:
    """Whether any of the settings moves pixels."""
    return any(
        limit > 0
        for limit in (
            settings.rotation_degrees,
            settings.shear_degrees,
            settings.zoom_fraction,
            settings.shift_fraction,
            settings.elastic_fraction,
        )
    )


def _uniform(generators: Generators, shape: tuple[int, ...], dim: int, device: torch.device) -> torch.Tensor:
    """Uniform draws of this shape: the generators draw one after another, each an equal part along `dim`."""
    share = (*shape[:dim], shape[dim] // len(generators), *shape[dim + 1 :])
    draws = [torch.rand(share, generator=generator, device=device) for generator in generators]
    return draws[0] if len(draws) == 1 else torch.cat(draws, dim=dim)


def _sampling_grid(images: torch.Tensor, settings: Augmentation, generators: Generators) -> torch.Tensor:
    """(N, H, W, 2): where to sample each output pixel, in coordinates where the image spans -1..1."""
    count, _, height, width = images.shape
    maps = _inverse_maps(count, settings, generators, images.device)
    # One product gives all sampling grids; F.affine_grid would take as long as the sampling itself.
    grid = (maps.reshape(-1, 3) @ _pixel_centres(height, width, images.device)).view(count, 2, height, width)
    if settings.elastic_fraction > 0:
        shape = (count, 2, COARSE_SIDE, COARSE_SIDE)
        knots = _uniform(generators, shape, 0, images.device) * 2 - 1
        field = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
        grid = grid + field * (2 * settings.elastic_fraction)
    return grid.permute(0, 2, 3, 1)


def _erased(images: torch.Tensor, probability: float, generators: Generators) -> torch.Tensor:
    """(N, 1, H, W) bool: true inside the rectangle of each image chosen for erasing."""
    count, _, height, width = images.shape
    draws = _uniform(generators, (5, count, 1), 1, images.device)
    area = ERASED_AREA[0] + draws[1] * (ERASED_AREA[1] - ERASED_AREA[0])
    low, high = (math.log(limit) for limit in ERASED_ASPECT)
    aspect = torch.exp(low + draws[2] * (high - low))
    inside = []
    for length, share, start in ((height, area * aspect, draws[3]), (width, area / aspect, draws[4])):
        extent = torch.sqrt(share).clamp(max=1.0) * length
        first = start * (length - extent)
        centres = torch.arange(length, device=images.device) + 0.5
        inside.append((centres >= first) & (centres < first + extent))
    chosen = (draws[0] < probability).view(count, 1, 1, 1)
    return chosen & inside[0].view(count, 1, height, 1) & inside[1].view(count, 1, 1, width)


def _inverse_maps(count: int, settings: Augmentation, generators: Generators, device: torch.device) -> torch.Tensor:
    """(N, 2, 3) affine maps from output pixel to input pixel, in coordinates where the image spans -1..1."""
    draws = _uniform(generators, (5, count), 1, device) * 2 - 1
    angle = draws[0] * math.radians(settings.rotation_degrees)
    shear = torch.tan(draws[1] * math.radians(settings.shear_degrees))
    scale = 1 / (1 + draws[2] * settings.zoom_fraction)
    shift_x, shift_y = draws[3] * settings.shift_fraction * 2, draws[4] * settings.shift_fraction * 2
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    row_x = torch.stack([cosine, cosine * shear - sine, shift_x], dim=1)
    row_y = torch.stack([sine, sine * shear + cosine, shift_y], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def _pixel_centres(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(3, H * W): x, y and 1 for every pixel centre, with x and y in -1..1 (align_corners=False)."""
    x = (2 * torch.arange(width, device=device) + 1) / width - 1
    y = (2 * torch.arange(height, device=device) + 1) / height - 1
    ones = torch.ones(height * width, device=device)
    return torch.stack([x.repeat(height), y.repeat_interleave(width), ones])

"""Whole-batch augmentation in which every image draws its own parameters.

torchvision's v2 transforms draw one parameter for a whole batch; here each image has its own, at the cost
of a single matrix product and one `grid_sample` a batch.
"""

import math

import torch
import torch.nn.functional as F

from digits_core.recipe import Augmentation


def random_affine(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Rotate, shear, zoom and shift each image by its own random amount, bilinearly, zeros outside.

    images: float (N, 1, H, W); the generator lives on the images' device. Returns a new tensor of that shape.
    """
    if not is_active(settings):
        return images
    count, _, height, width = images.shape
    maps = _inverse_maps(count, settings, generator, images.device)
    # One product gives all sampling grids: F.affine_grid costs as much as the sampling itself.
    grid = (maps.reshape(-1, 3) @ _pixel_centres(height, width, images.device)).view(count, 2, height, width)
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), align_corners=False)


def is_active(settings: Augmentation) -> bool:
    """False where every limit is zero, so that the images would come back unchanged."""
    return any(
        limit > 0
        for limit in (
            settings.rotation_degrees,
            settings.shear_degrees,
            settings.zoom_fraction,
            settings.shift_fraction,
        )
    )


def _inverse_maps(count: int, settings: Augmentation, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """(N, 2, 3): from output pixel to input pixel, in coordinates where the image spans -1..1."""
    draws = torch.rand(5, count, generator=generator, device=device) * 2 - 1
    angle = draws[0] * math.radians(settings.rotation_degrees)
    shear = torch.tan(draws[1] * math.radians(settings.shear_degrees))
    scale = 1 / (1 + draws[2] * settings.zoom_fraction)
    shift_x, shift_y = draws[3] * settings.shift_fraction * 2, draws[4] * settings.shift_fraction * 2
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    row_x = torch.stack([cosine, cosine * shear - sine, shift_x], dim=1)
    row_y = torch.stack([sine, sine * shear + cosine, shift_y], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def _pixel_centres(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(3, H * W): x, y and 1 of every pixel centre, x and y in -1..1 (align_corners=False)."""
    x = (2 * torch.arange(width, device=device) + 1) / width - 1
    y = (2 * torch.arange(height, device=device) + 1) / height - 1
    ones = torch.ones(height * width, device=device)
    return torch.stack([x.repeat(height), y.repeat_interleave(width), ones])

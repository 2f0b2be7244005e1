"""Test-time augmentation: a network asked about an image in several poses, its answers averaged.

The poses are of the kinds that the network was trained on, and small: as the image is, moved by a twenty-eighth of its
side in four directions, turned by five degrees either way. Which ones pay was measured on validation images
(docs/lab-log.md).
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError
from digits_core.recipe import Augmentation
from digits_core.records import RunRecord

SHIFT_FRACTION = 1 / 28  # of the image's side: a pixel of MNIST's images
ROTATION_DEGREES = 5.0


def poses_of(settings: Augmentation) -> npt.NDArray[np.float32]:
    """(P, 2, 3): affine maps from output to input, in coordinates where the image spans -1..1; without the image as is.

    None of a kind that the augmentation leaves out, and none that goes further than it does.
    """
    shift, angle = min(SHIFT_FRACTION, settings.shift_fraction), min(ROTATION_DEGREES, settings.rotation_degrees)
    shifts = [(shift, 0.0), (-shift, 0.0), (0.0, shift), (0.0, -shift)] if shift > 0 else []
    angles = [math.radians(angle), -math.radians(angle)] if angle > 0 else []
    maps = [[[1.0, 0.0, 2 * x], [0.0, 1.0, 2 * y]] for x, y in shifts]
    maps += [[[math.cos(one), -math.sin(one), 0.0], [math.sin(one), math.cos(one), 0.0]] for one in angles]
    return np.array(maps, dtype=np.float32).reshape(-1, 2, 3)


def pose_count(settings: Augmentation) -> int:
    """How often a network of this augmentation is asked about an image, the image as it is included."""
    return 1 + len(poses_of(settings))


def most_poses(records: Iterable[RunRecord], subject: str) -> int:
    """The most poses in which one of these networks is asked about an image.

    Raises UsageError, which begins with the subject, if that is the image as it is alone.
    """
    poses = max(pose_count(record.recipe.augmentation) for record in records)
    if poses == 1:
        raise UsageError(f"{subject} trained on shifted or rotated images, so --tta would change nothing; leave it out")
    return poses

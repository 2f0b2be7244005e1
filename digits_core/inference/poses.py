"""Test-time augmentation: a network asked about an image in several poses, its answers averaged.

The poses are of the kinds that the network was trained on, and small: the image as it is, turned by five degrees either
way, a twentieth smaller and larger. On writers whom the network had not seen, these paid; moving the image by a pixel
as well gained nothing more on MNIST (docs/lab-log.md).
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from digits_core.errors import UsageError
from digits_core.recipe import Augmentation
from digits_core.records import RunRecord

ROTATION_DEGREES = 5.0
ZOOM_FRACTION = 0.05


def poses_of(settings: Augmentation) -> npt.NDArray[np.float32]:
    """(P, 2, 3): affine maps from output to input, in coordinates where the image spans -1..1, without the identity.

    Only kinds of pose that the recipe was trained on, and never larger than in training.
    """
    angle = math.radians(min(ROTATION_DEGREES, settings.rotation_degrees))
    zoom = min(ZOOM_FRACTION, settings.zoom_fraction)
    angles = [angle, -angle] if angle > 0 else []
    scales = [1 / (1 - zoom), 1 / (1 + zoom)] if zoom > 0 else []
    maps = [[[math.cos(one), -math.sin(one), 0.0], [math.sin(one), math.cos(one), 0.0]] for one in angles]
    maps += [[[one, 0.0, 0.0], [0.0, one, 0.0]] for one in scales]
    return np.array(maps, dtype=np.float32).reshape(-1, 2, 3)


def pose_count(settings: Augmentation) -> int:
    """How often a network of this augmentation is asked about an image, the image as it is included."""
    return 1 + len(poses_of(settings))


def most_poses(records: Iterable[RunRecord], subject: str) -> int:
    """The most poses in which one of these networks is asked about an image.

    Raises UsageError, whose text begins with `subject`, if no network has a pose besides the image as it is.
    """
    poses = max(pose_count(record.recipe.augmentation) for record in records)
    if poses == 1:
        raise UsageError(f"{subject} trained on rotated or zoomed images, so --tta would change nothing; leave it out")
    return poses

"""How a data set lays a digit out."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Frame:
    """All in pixels. `fitted`: the side of the box that the digit fills."""

    side: int
    fitted: int
    by_mass: bool  # centred by its mass, else by its box
    thinnest: float  # stroke: what is thinner is grown, what is thicker worn down
    thickest: float


MNIST_FRAME = Frame(side=28, fitted=20, by_mass=True, thinnest=2.0, thickest=3.6)  # MNIST's own: 1.7 to 4.1
OPTDIGITS_FRAME = Frame(side=8, fitted=8, by_mass=False, thinnest=1.2, thickest=2.0)
USPS_FRAME = Frame(side=16, fitted=16, by_mass=False, thinnest=1.8, thickest=3.2)
FRAMES = {frame.side: frame for frame in (MNIST_FRAME, OPTDIGITS_FRAME, USPS_FRAME)}


def frame_for(side: int) -> Frame:
    """The frame of data sets with images of this side: MNIST's in proportion where there is none of its own."""
    if side in FRAMES:
        return FRAMES[side]
    scale = side / MNIST_FRAME.side
    return Frame(
        side=side,
        fitted=max(1, round(MNIST_FRAME.fitted * scale)),
        by_mass=True,
        thinnest=MNIST_FRAME.thinnest * scale,
        thickest=MNIST_FRAME.thickest * scale,
    )

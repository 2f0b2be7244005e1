"""Where something is in a picture, and what it is if it is no digit."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["frame", "table", "line", "edge", "dot", "dash", "slash", "plus", "stain", "word", "small mark"]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, edges: tuple[int, int, int, int]) -> "Box":
        """From left, top, right and bottom."""
        left, top, right, bottom = edges
        return cls(left=left, top=top, right=right, bottom=bottom)

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def joined(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            left=min(self.left, other.left),
            top=min(self.top, other.top),
            right=max(self.right, other.right),
            bottom=max(self.bottom, other.bottom),
        )

    def moved(self, right: int, down: int) -> "Box":
        """The box moved by so many pixels."""
        return Box(left=self.left + right, top=self.top + down, right=self.right + right, bottom=self.bottom + down)

    def gap(self, other: "Box") -> float:
        """Distance between the two in pixels; 0 if they overlap."""
        across = max(0, max(self.left, other.left) - min(self.right, other.right))
        down = max(0, max(self.top, other.top) - min(self.bottom, other.bottom))
        return float(np.hypot(across, down))

    def shared_width(self, other: "Box") -> float:
        """Share of the narrower box's width that lies above or below the other."""
        shared = min(self.right, other.right) - max(self.left, other.left)
        return max(0, shared) / max(1, min(self.width, other.width))

    def shared_height(self, other: "Box") -> float:
        """Share of the shorter box's height that lies beside the other."""
        shared = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, shared) / max(1, min(self.height, other.height))


@dataclass(frozen=True, kw_only=True)
class NoDigit:
    """Something in a picture that is left out because it is no digit."""

    kind: Kind
    box: Box

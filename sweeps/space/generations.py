"""How a population's trials are numbered: trial 0 stands apart, then come the members, generation by generation."""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from digits_core.errors import UsageError
from digits_core.recipe import Scalar
from sweeps.space.spaces import Choice, Space

SMALLEST, LARGEST = 4, 20  # members
GENERATIONS = 5  # the number of members is chosen to allow this many, if there are enough trials


@dataclass(frozen=True, kw_only=True)
class Generations:
    """A population of `members` over `count` generations, which share out the `epochs` of a full trial."""

    members: int
    count: int
    epochs: int

    @staticmethod
    def of(trial_count: int, epochs: int) -> "Generations":
        """The population that this many trials allow. Raises UsageError if they are too few."""
        members = min(LARGEST, max(SMALLEST, (trial_count - 1) // GENERATIONS))
        count = min((trial_count - 1) // members, epochs)
        if count < 2:
            raise UsageError(
                f"--scheduler pbt needs 2 generations of {SMALLEST} members: at least {1 + 2 * SMALLEST} trials of 2"
                f" epochs, got {trial_count} of {epochs}"
            )
        return Generations(members=members, count=count, epochs=epochs)

    @property
    def trial_count(self) -> int:
        """All trials, trial 0 included."""
        return 1 + self.members * self.count

    def last_epoch(self, trial: int) -> int:
        """The last epoch of the trial's generation."""
        return self.epochs * (1 + (trial - 1) // self.members) // self.count

    def before(self, trial: int) -> int | None:
        """The member's trial in the previous generation; None in the first."""
        return trial - self.members if trial > self.members else None

    def peers(self, trial: int) -> range:
        """All trials of its generation."""
        first = 1 + (trial - 1) // self.members * self.members
        return range(first, first + self.members)

    def may_begin(self, trial: int, over: Set[int]) -> bool:
        """Whether the member's previous trial and at least half of that trial's generation have ended."""
        before = self.before(trial)
        if before is None:
            return True
        return before in over and 2 * sum(peer in over for peer in self.peers(before)) >= self.members

    def outlived(self, over: Set[int]) -> Iterator[int]:
        """Trials that no other will continue from, because the generation after theirs has ended."""
        for first in range(1, 1 + self.members * (self.count - 1), self.members):
            children = range(first + self.members, first + 2 * self.members)
            if all(child in over for child in children):
                yield from range(first, first + self.members)


SHAPING = ("optimizer.name", "training.ema_decay", "training.average_epochs", "training.precision", "training.compile")


def shapes_state(field: str) -> bool:
    """Whether trials that differ in this field cannot continue from each other's state."""
    return field in SHAPING or (field.startswith("model.") and field != "model.dropout")


def with_one_network(space: Space, values: dict[str, Scalar]) -> dict[str, Scalar]:
    """The fields to fix so that all trials of a space have the network and optimizer of the default, in `values`."""
    return {
        name: values[name]
        for name, parameter in space.items()
        if shapes_state(name) and not (isinstance(parameter, Choice) and len(parameter.options) == 1)
    }

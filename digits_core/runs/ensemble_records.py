"""What is asked of an ensemble, and what is kept of it, as plain frozen values."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from digits_core.errors import check_count, unknown_name
from digits_core.metrics import Score
from digits_core.stored import MOST_TRIALS, Checksum, Count, Positive, Seconds, Share, TrialNumber

LARGEST_GAP = 1e-3  # how far weights may sum from one
SINGLE = "single"
METHODS = {
    "uniform": "the plain mean of the members' probabilities: the baseline",
    "greedy": "bagged greedy selection (Caruana et al. 2004), if it beats the uniform vote",
    "vote": "one vote per member; ties go to the mean probability",
    "stack": "multinomial logistic regression over the members, if it beats the uniform vote",
}
POOLS = {"all": "the sweep's own trials", "confirmed": "the runs of `digits confirm`: all seeds of the best recipes"}
CALIBRATIONS = ("none", "temperature")
Part = Literal["validation", "test"]


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """How to combine the best models."""

    top: int = 5
    method: str = "greedy"
    pool: str = "all"
    calibrate: str = "none"
    tta: bool = False  # test-time augmentation: members are asked about an image in several poses
    per_architecture: int | None = None  # at most this many recipes of each architecture; None: any number

    def __post_init__(self) -> None:
        check_count("--top", self.top, MOST_TRIALS)
        check_count("--per-architecture", self.per_architecture, MOST_TRIALS)
        for what, name, known in (
            ("ensemble method", self.method, METHODS),
            ("pool", self.pool, POOLS),
            ("calibration", self.calibrate, CALIBRATIONS),
        ):
            if name not in known:
                raise unknown_name(what, name, known)


def share_text(weight: float) -> str:
    """A weight to two decimals; "<0.01" rather than "0.00" for a small one."""
    return f"{weight:.2f}" if weight >= 0.005 else "<0.01"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to predict: a single model or a weighted vote. `weights` are by trial and sum to one."""

    method: str  # one of METHODS, or SINGLE
    weights: dict[TrialNumber, Share]
    validation: Score  # for fitted weights: cross-fitted
    test: Score

    @property
    def shares(self) -> dict[int, str]:
        """The weights as text, by trial: see `share_text`."""
        return {trial: share_text(weight) for trial, weight in self.weights.items()}

    def __post_init__(self) -> None:
        if self.method not in (SINGLE, *METHODS):
            raise ValueError(f"this version of digits knows no method {self.method!r}")
        if abs(sum(self.weights.values()) - 1) > LARGEST_GAP:
            raise ValueError(f"the weights of {self.method} do not sum to one")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of an ensemble."""

    trial: TrialNumber  # its number among the trials of the pool
    name: str  # to show
    validation: Score
    contribution: float  # how much the uniform vote's validation NLL rises without it


@dataclass(frozen=True, kw_only=True)
class PairOfMembers:
    """How differently two members err on the validation images: see digits_core.judging.ensemble."""

    trials: tuple[TrialNumber, TrialNumber]
    disagreement: Share
    double_fault: Share
    yule_q: float | None


@dataclass(frozen=True, kw_only=True)
class AgainstSingle:
    """The ensemble against the best single model, on the sealed test set."""

    rescued: tuple[Count, ...]  # positions in the test set of the images that only the ensemble gets right
    broken: tuple[Count, ...]  # positions of those that only the single model gets right
    p_value: Share  # McNemar's exact test


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The chosen ensemble after temperature scaling."""

    temperature: Annotated[float, Meta(gt=0)]
    validation: Score  # cross-fitted
    test: Score


@dataclass(frozen=True, kw_only=True)
class InPoses:
    """Test-time augmentation of the members, and what it gains. The scores are those of the uniform vote."""

    pose_count: Positive  # the most of any member, the image as it is included
    validation: Score
    without: Score  # on the validation set, each image as it is
    low: float  # 95 % interval of the difference in validation NLL, with minus without
    high: float


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """The stored ensemble: which contender is used and why, and the others for comparison."""

    method: str
    reason: str
    created_at: Seconds
    contenders: tuple[Contender, ...]  # the best single model comes first
    # "confirmed": the trials of `digits confirm`; trial numbers are then of that run.
    pool: str = "all"
    members: tuple[Member, ...] = ()
    pairs: tuple[PairOfMembers, ...] = ()
    against_single: AgainstSingle | None = None
    calibrated: Calibrated | None = None
    in_poses: InPoses | None = None  # None: without test-time augmentation
    parameter_count: Count = 0  # sum over the members with a non-zero weight
    image_seconds: Seconds | None = None  # sum over the same members, in all their poses
    files: dict[Part, Checksum] = field(default_factory=dict, compare=False)  # none in old records

    def __post_init__(self) -> None:
        missing = {"single", self.method} - {contender.method for contender in self.contenders}
        if missing or self.pool not in POOLS:
            raise ValueError(f"it has no contender {min(missing)!r}" if missing else f"it knows no pool {self.pool!r}")

    @property
    def uses_poses(self) -> bool:
        """Whether its members are asked with test-time augmentation."""
        return self.in_poses is not None

    def contender(self, method: str) -> Contender:
        return next(contender for contender in self.contenders if contender.method == method)

    @property
    def chosen(self) -> Contender:
        return self.contender(self.method)

    @property
    def best_single(self) -> Contender:
        """The single model with the lowest validation NLL."""
        return self.contender("single")

    def name_of(self, trial: int) -> str:
        """A member's name to show."""
        return next((member.name for member in self.members if member.trial == trial), f"trial {trial}")

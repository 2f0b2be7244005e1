"""What is kept of an ensemble, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digits_core.metrics import Score
from digits_core.records import check_fields, score_from


def share_text(weight: float) -> str:
    """A weight to two decimals; "<0.01" rather than "0.00" for a small one."""
    return f"{weight:.2f}" if weight >= 0.005 else "<0.01"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to predict: a single model or a weighted vote. `weights` are by trial and sum to one."""

    method: str  # "single", "uniform", "greedy", "vote" or "stack"
    weights: dict[int, float]
    validation: Score  # for fitted weights: cross-fitted
    test: Score

    @property
    def shares(self) -> dict[int, str]:
        """The weights as text, by trial: see `share_text`."""
        return {trial: share_text(weight) for trial, weight in self.weights.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Contender":
        """Inverse of `dataclasses.asdict`, from JSON values."""
        return Contender(
            method=values["method"],
            weights={int(trial): weight for trial, weight in values["weights"].items()},
            validation=score_from(values["validation"]),
            test=score_from(values["test"]),
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of an ensemble."""

    trial: int  # its number among the trials of the pool
    name: str  # to show
    validation: Score
    contribution: float  # how much the uniform vote's validation NLL rises without it


@dataclass(frozen=True, kw_only=True)
class PairOfMembers:
    """How differently two members err on the validation images: see digits_core.judging.ensemble."""

    trials: tuple[int, int]
    disagreement: float
    double_fault: float
    yule_q: float | None


@dataclass(frozen=True, kw_only=True)
class AgainstSingle:
    """The ensemble against the best single model, on the sealed test set."""

    rescued: tuple[int, ...]  # positions in the test set of the images that only the ensemble gets right
    broken: tuple[int, ...]  # positions of those that only the single model gets right
    p_value: float  # McNemar's exact test


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The chosen ensemble after temperature scaling."""

    temperature: float
    validation: Score  # cross-fitted
    test: Score


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """The stored ensemble: which contender is used and why, and the others for comparison."""

    method: str
    reason: str
    created_at: float
    contenders: tuple[Contender, ...]  # the best single model comes first
    pool: str = "all"  # "confirmed": the trials of `digits confirm`; trial numbers are then of that run
    members: tuple[Member, ...] = ()
    pairs: tuple[PairOfMembers, ...] = ()
    against_single: AgainstSingle | None = None
    calibrated: Calibrated | None = None
    parameter_count: int = 0  # sum over the members with a non-zero weight
    image_seconds: float | None = None  # sum over the same members

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

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "EnsembleRecord":
        """Inverse of `dataclasses.asdict`, from JSON values."""
        fields = dict(values)
        check_fields(EnsembleRecord, fields)
        for kind, name in ((Member, "members"), (PairOfMembers, "pairs")):
            for one in fields.get(name, ()):
                check_fields(kind, one)
        fields["contenders"] = tuple(Contender.from_dict(contender) for contender in fields["contenders"])
        fields["members"] = tuple(
            Member(**{**member, "validation": score_from(member["validation"])}) for member in fields.get("members", ())
        )
        fields["pairs"] = tuple(
            PairOfMembers(**{**pair, "trials": tuple(pair["trials"])}) for pair in fields.get("pairs", ())
        )
        against = fields.get("against_single")
        if against:
            places = {name: tuple(against[name]) for name in ("rescued", "broken")}
            fields["against_single"] = AgainstSingle(**places, p_value=against["p_value"])
        calibrated = fields.get("calibrated")
        if calibrated:
            scores = {part: score_from(calibrated[part]) for part in ("validation", "test")}
            fields["calibrated"] = Calibrated(temperature=calibrated["temperature"], **scores)
        return EnsembleRecord(**fields)

"""What is kept of a combination of models, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digits_core.metrics import Score
from digits_core.records import check_fields, score_from


def share_text(weight: float) -> str:
    """A weight in two digits; a small one is not shown as none."""
    return f"{weight:.2f}" if weight >= 0.005 else "<0.01"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to answer: a single model or a weighted vote. `weights` are by trial and sum to one."""

    method: str  # "single", "uniform", "greedy", "vote" or "stack"
    weights: dict[int, float]
    validation: Score  # for fitted weights: cross-fitted
    test: Score

    @property
    def shares(self) -> dict[int, str]:
        """The weights in two digits, by trial; a small one is not shown as none."""
        return {trial: share_text(weight) for trial, weight in self.weights.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Contender":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
        return Contender(
            method=values["method"],
            weights={int(trial): weight for trial, weight in values["weights"].items()},
            validation=score_from(values["validation"]),
            test=score_from(values["test"]),
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of an ensemble."""

    trial: int  # its number among the runs of the pool
    name: str  # for people
    validation: Score
    contribution: float  # by how much the uniform vote's validation NLL rises without it


@dataclass(frozen=True, kw_only=True)
class PairOfMembers:
    """Two members on the validation images: see digits_core.judging.diversity."""

    trials: tuple[int, int]
    disagreement: float
    double_fault: float
    yule_q: float | None


@dataclass(frozen=True, kw_only=True)
class AgainstSingle:
    """The ensemble beside the best single model, on the sealed test part."""

    rescued: tuple[int, ...]  # places, in the test part, of images that the ensemble alone gets right
    broken: tuple[int, ...]  # that the single model alone gets right
    p_value: float  # McNemar's exact test


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The ensemble that is used, with its confidences scaled by a temperature."""

    temperature: float
    validation: Score  # cross-fitted
    test: Score


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """The stored combination: which contender is used, why, and the others beside it."""

    method: str
    reason: str
    created_at: float
    contenders: tuple[Contender, ...]  # the best single model first
    pool: str = "all"  # "confirmed": the runs of `digits confirm`, whose numbers then count
    members: tuple[Member, ...] = ()
    pairs: tuple[PairOfMembers, ...] = ()
    against_single: AgainstSingle | None = None
    calibrated: Calibrated | None = None
    parameter_count: int = 0  # of the members that have a weight, together
    image_seconds: float | None = None  # the same

    def contender(self, method: str) -> Contender:
        """The contender of that method."""
        return next(contender for contender in self.contenders if contender.method == method)

    @property
    def chosen(self) -> Contender:
        """The contender that is used."""
        return self.contender(self.method)

    @property
    def best_single(self) -> Contender:
        """The single model with the lowest validation NLL."""
        return self.contender("single")

    def name_of(self, trial: int) -> str:
        """What people call a member."""
        return next((member.name for member in self.members if member.trial == trial), f"trial {trial}")

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "EnsembleRecord":
        """Inverse of `dataclasses.asdict` after a trip through JSON."""
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

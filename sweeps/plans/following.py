"""What follows a search in the same command: the best recipes again on fresh seeds, and their ensemble."""

from dataclasses import dataclass

from digits_core.errors import UsageError, unknown_name
from digits_core.records import RunKind
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from sweeps.plans.config import NO_CONFIRMATION, ConfirmConfig, GpuShare, ResumeConfig, SweepConfig

CONFIRM, ENSEMBLE = "confirm", "ensemble"
STEPS = (CONFIRM, ENSEMBLE)
RECIPES, PER_ARCHITECTURE, SEEDS = 3, 2, 3
"""How many of the best recipes are confirmed, at most how many of one architecture, and on how many seeds (with a time
budget: on as many as there is time for)."""
MOST_SEEDS_IN_TIME = 10
"""The most fresh seeds where a time budget decides how many; no measured ensemble gained from more."""
WIDE_POOL = 10
"""How many of the search's own trials are combined if none is confirmed: greedy selection gains from a wide pool."""


def parse_then(text: str | None) -> tuple[str, ...]:
    """Parse --then: confirm, ensemble or confirm,ensemble. Raises UsageError for anything else."""
    if text is None:
        return ()
    steps = tuple(step.strip() for step in text.split(","))
    for step in steps:
        if step not in STEPS:
            raise unknown_name("step after a search", step, STEPS)
    if steps not in ((CONFIRM,), (ENSEMBLE,), STEPS):
        raise UsageError(f"--then takes confirm, ensemble or confirm,ensemble, got {text!r}")
    return steps


def check_can_follow(run: Run, steps: tuple[str, ...]) -> None:
    """Raise UsageError if these steps cannot follow what the run is."""
    header = run.header
    if header.kind != RunKind.SWEEP:
        raise UsageError(f"{run.name!r} is not a sweep, so nothing can follow its search: leave out --then")
    if CONFIRM in steps and header.plan is not None and header.plan.scheduler == "pbt":
        raise UsageError(NO_CONFIRMATION)


@dataclass(frozen=True, kw_only=True)
class Following:
    """The steps that follow a search, and the time budget of the whole command."""

    steps: tuple[str, ...]
    begun_at: float  # of the whole command, in `time.monotonic` seconds
    time_budget_seconds: float | None
    concurrency: int | None
    address: str | None = None  # of the Ray cluster that the search ran on
    gpus_per_trial: GpuShare = None
    tta: bool = False  # of the ensemble

    @staticmethod
    def of(config: SweepConfig | ResumeConfig) -> "Following":
        """What a sweep, or its resumption, is asked for."""
        return Following(
            steps=config.then,
            begun_at=config.begun_at,
            time_budget_seconds=config.time_budget_seconds,
            concurrency=config.concurrency,
            address=config.address,
            gpus_per_trial=config.gpus_per_trial,
            tta=config.tta,
        )

    @property
    def options(self) -> tuple[str, ...]:
        """What `digits resume` is to be given for the same steps."""
        return ("--then", ",".join(self.steps), *(["--tta"] if self.tta else []))

    def confirmation(self, sweep: Run) -> ConfirmConfig:
        """The best recipes, at most two of one architecture, on three fresh seeds or as many as the budget allows.

        They are trained for longer than in the search, if the sweep was planned so and the budget allows it.
        """
        plan = sweep.header.plan
        return ConfirmConfig(
            runs=sweep.folder.parent,
            sweep=sweep.name,
            top=RECIPES,
            per_architecture=PER_ARCHITECTURE,
            seeds=SEEDS if self.time_budget_seconds is None else MOST_SEEDS_IN_TIME,
            epochs=plan.final_epochs if plan else None,
            as_fit=True,
            concurrency=self.concurrency or sweep.header.concurrency,
            time_budget_seconds=self.time_budget_seconds,
            begun_at=self.begun_at,
        )

    def ensemble(self, *, confirmed: bool) -> EnsembleConfig:
        """All runs of the confirmed recipes, or the best of the search's own trials."""
        if confirmed:
            return EnsembleConfig(top=RECIPES, pool="confirmed", tta=self.tta)
        return EnsembleConfig(top=WIDE_POOL, tta=self.tta)

"""A run as a tracker keeps it: one entry for the run, one for each trial that has ended, one for its ensemble."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from digits_core.data.datasets import public_name
from digits_core.delivery.card import Subject, model_card
from digits_core.delivery.exports import CARD
from digits_core.judging.answers import Answers
from digits_core.judging.candidates import Candidate, leader
from digits_core.metrics import Score, score
from digits_core.recipe import Scalar
from digits_core.records import EpochRow, RunRecord
from digits_core.runs.durable import checksum
from digits_core.runs.ownership import is_running
from digits_core.runs.run import Run
from digits_core.runs.trial_folder import WEIGHTS

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to keep with an entry: one of the run's, or text. checksum: of its content."""

    name: str
    checksum: str
    path: Path | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a tracker keeps under one name. All but the curve, which only trials have, is by name.

    parameters never change; figures and facts may, when a run grows or its test set is opened.
    """

    key: str  # `first`, `first/17`, `first/confirmed/3`, `first/ensemble`
    name: str  # within its run; the run's own name for the run
    status: str  # of a trial as in its record; of a run finished, interrupted or running
    parameters: dict[str, Scalar]
    figures: dict[str, float]
    facts: dict[str, str]
    started_at: float
    ended_at: float | None
    curve: tuple[EpochRow, ...] = ()
    files: tuple[File, ...] = ()
    varied: dict[str, tuple[Scalar, ...]] = field(default_factory=dict)  # of a run: its trials' differing parameters

    @property
    def is_run(self) -> bool:
        """Whether it is the run itself, and not one of its trials."""
        return "/" not in self.key

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything about the entry does."""
        told = asdict(replace(self, files=()))
        told["files"] = [(one.name, one.checksum) for one in self.files]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @cached_property
    def identifier(self) -> str:
        """Sixteen hexadecimal digits that stay the same for this entry, also if more is known or the run is renamed."""
        within = self.key.partition("/")[2]
        return hashlib.sha256(f"{self.facts['digits.run_started']} {within}".encode()).hexdigest()[:16]


def title(entry: Entry, of: Entry) -> str:
    """The entry's name among those of other runs."""
    return entry.name if entry.is_run else f"{of.name} {entry.name}"


class Tracker(Protocol):
    """One of the tools. where: an address or folder, to print. next_command: how to look at what was sent."""

    where: str
    next_command: str

    def send(self, entry: Entry, of: Entry) -> bool:
        """Keep an entry, below its run's (`of`), which is sent first. Returns whether anything was new.

        Raises EnvironmentFailure, in one line, if the tool cannot be reached or refuses.
        """


def story(run: Run) -> Iterator[Entry]:
    """The run, then its trials, those of the runs in its folder, and its ensemble. Reads each record once."""
    first = _run_entry(run)
    yield first
    shared = {name: first.facts[name] for name in ("digits.run_started", "data set", "split")}
    for one in (run, *_inner_runs(run)):
        for record in one.records:
            yield _trial_entry(run, one, record, shared)
    if run.ensemble is not None:
        yield _ensemble_entry(run, shared)


def _inner_runs(run: Run) -> list[Run]:
    return [inner for folder in run.inner_folders if (inner := run.inner(folder.name)) is not None]


def _run_entry(run: Run) -> Entry:
    header, summary = run.header, run.summary
    best = None if header.kind == "refit" else leader(run)
    files = [_file(run.folder / PAGE, PAGE), _file(run.folder / "leaderboard.csv", "leaderboard.csv")]
    if best is not None:
        files.append(_text(CARD, model_card(_subject(run, best))))
    figures: dict[str, float] = {"trials": float(len(run.records)), "test openings": float(len(run.ledger))}
    if summary is not None:
        figures |= {"seconds": summary.seconds, "training share": summary.training_share}
    status = "finished" if summary is not None and not summary.interrupted else "interrupted"
    status = "running" if is_running(run.folder) else status
    facts = {
        "digits.run_started": f"{header.created_at:.3f}",
        "kind": str(header.kind),
        "status": status,
        "data set": public_name(header.dataset),
        "split": header.split_id,
        "hardware": header.hardware,
        "trials asked for": str(header.trial_count),
        "epochs at most": str(header.max_epochs),
        **{f"version of {package}": version for package, version in header.versions.items()},
    }
    if best is not None:
        facts["leader"] = best.name
        figures |= _answers("leader validation", best.validation)
        if best.test is not None:
            figures |= _answers("leader test", best.test)
    ended = max((record.ended_at for record in run.records), default=None) if summary else None
    plan = header.plan
    return Entry(
        key=run.name,
        name=run.name,
        status=status,
        parameters={
            "seed": header.seed,
            **({"search": plan.search, "scheduler": plan.scheduler} if plan else {}),
        },
        figures=figures,
        facts=facts,
        started_at=header.created_at,
        ended_at=ended,
        files=tuple(one for one in files if one is not None),
        varied=_varied(run),
    )


def _varied(run: Run) -> dict[str, tuple[Scalar, ...]]:
    """The fields of the recipe that differ between trials, with their values in order. Not the seed: it always does."""
    recipes = [record.recipe.as_overrides() for record in run.records]
    found = {
        name: sorted({recipe[name] for recipe in recipes}, key=_in_order) for name in (recipes[0] if recipes else ())
    }
    return {name: tuple(values) for name, values in found.items() if len(values) > 1 and name != "training.seed"}


def _in_order(value: Scalar) -> tuple[bool, float, str]:
    """Numbers by size, then text."""
    return (True, 0.0, value) if isinstance(value, str) else (False, float(value), "")


def _subject(run: Run, best: Candidate) -> Subject:
    first, test = best.runs[0], best.test
    return Subject(
        name=f"{run.name}/{best.trial}",
        header=best.home.header,
        records=(first,),
        validation=first.validation,
        test=None if test is None else test.scores[0],
    )


def _trial_entry(run: Run, home: Run, record: RunRecord, shared: dict[str, str]) -> Entry:
    within = "" if home is run else f"{home.folder.name}/"
    folder = home.trial(record.trial)
    figures: dict[str, float] = {"parameters": float(record.parameter_count), "train seconds": record.train_seconds}
    if record.counts and record.validation is not None:
        figures |= _figures("validation", record.validation) | {"best epoch": float(record.best_epoch or 0)}
    if record.counts and home.has_opened_test(record.trial):
        figures |= _figures("test", score(home.test_labels, home.test_probabilities(record.trial)))
    files: tuple[File, ...] = ()
    if folder.has_weights and WEIGHTS in record.files:
        files = (File(name=WEIGHTS, checksum=record.files[WEIGHTS], path=folder.folder / WEIGHTS),)
    facts = {
        **shared,
        "status": record.status,
        "device": record.device,
        "precision": record.precision,
        "recipe": record.recipe.recipe_id,
    }
    if record.label:
        facts["label"] = record.label
    if record.failure:
        facts["error"] = record.failure
    return Entry(
        key=f"{run.name}/{within}{record.trial}",
        name=f"{within}trial {record.trial}",
        status=record.status,
        parameters=record.recipe.as_overrides(),
        figures=figures,
        facts=facts,
        started_at=record.started_at,
        ended_at=record.ended_at,
        curve=record.curve,
        files=files,
    )


def _ensemble_entry(run: Run, shared: dict[str, str]) -> Entry:
    record = run.ensemble
    assert record is not None
    chosen = record.chosen
    described = _file(run.folder / "ensemble.json", "ensemble.json")
    return Entry(
        key=f"{run.name}/ensemble",
        name="ensemble",
        status="finished",
        parameters={},
        figures={
            **_figures("validation", chosen.validation),
            **_figures("test", chosen.test),
            "parameters": float(record.parameter_count),
        },
        facts={
            **shared,
            "status": "finished",
            "method": record.method,
            "pool": record.pool,
            "members": str(len(chosen.weights)),
            "reason": record.reason,
        },
        started_at=record.created_at,
        ended_at=record.created_at,
        files=(described,) if described else (),
    )


def _figures(part: str, said: Score) -> dict[str, float]:
    return {
        f"{part} accuracy": said.accuracy,
        f"{part} errors": float(said.error_count),
        f"{part} n": float(said.n),
        f"{part} nll": said.nll,
        f"{part} ece": said.ece,
    }


def _answers(part: str, said: Answers) -> dict[str, float]:
    """Means over the runs of a recipe, with Wilson's 95 % interval of the accuracy."""
    return {
        f"{part} accuracy": said.accuracy.mean,
        f"{part} accuracy low": said.interval.low,
        f"{part} accuracy high": said.interval.high,
        f"{part} nll": said.mean_nll,
        f"{part} n": float(said.n),
        f"{part} runs": float(len(said.scores)),
    }


def _file(path: Path, name: str) -> File | None:
    if path.is_symlink() or not path.is_file():
        return None
    return File(name=name, checksum=checksum(path.read_bytes()), path=path)


def _text(name: str, text: str) -> File:
    return File(name=name, checksum=checksum(text.encode()), text=text)


def curve_figures(row: EpochRow) -> dict[str, float]:
    """An epoch of a learning curve, by name, as far as it is finite."""
    return finite(
        {
            "train loss": row.train_loss,
            "train accuracy": 1 - row.train_error_count / row.train_n,
            "validation nll": row.validation_nll,
            "validation accuracy": 1 - row.validation_error_count / row.validation_n,
        }
    )


def clock(entry: Entry) -> Iterator[tuple[EpochRow, float]]:
    """Each epoch with the time at which it ended, in seconds since 1970."""
    at = entry.started_at
    for row in entry.curve:
        at += row.seconds
        yield row, at


def slug(name: str) -> str:
    """A name as all trackers take it: letters, digits, dots, dashes, slashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._/-]+", "_", name)


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Those figures that are finite numbers: trackers take no others."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}

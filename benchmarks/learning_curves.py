"""A table of full learning curves, to replay searches and schedulers in seconds.

Made from a random search in which every trial ran to its last epoch:

    digits sweep --dataset optdigits --search random --scheduler none --trials 330 --name curves
    python -m benchmarks.learning_curves curves

Only the table is committed (optdigits-curves.csv). Each row is a configuration: its point in the default space and the
validation NLL after every epoch.
"""

import argparse
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from digits_core import DEFAULT_RUNS
from digits_core.recipe import Scalar
from digits_core.runs.run import Run
from sweeps.plans.recovery import known_history
from sweeps.space.spaces import Choice, Float, Space, default_space
from sweeps.space.spaces import Int as Whole

TABLE = Path(__file__).with_name("optdigits-curves.csv")
SIDE = 8


def space() -> Space:
    """The default space for 8x8 images on a CPU, from which the table was drawn."""
    return default_space("cpu", SIDE)[1]


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """Configurations and their learning curves."""

    points: tuple[dict[str, Scalar], ...]
    places: npt.NDArray[np.float64]  # (N, D): see `place`
    is_choice: npt.NDArray[np.bool_]  # (D,)
    lowest_nlls: npt.NDArray[np.float64]  # (N, E): lowest validation NLL so far, which is what a sweep sees

    @staticmethod
    def read(path: Path = TABLE) -> "CurveTable":
        """Read the committed table, or another one."""
        frame, parameters = pd.read_csv(path), space()
        points = [
            {name: value for name, value in row.items() if name in parameters and not pd.isna(value)}
            for row in frame.to_dict("records")
        ]
        nlls = frame[[column for column in frame.columns if column.startswith("nll ")]].to_numpy()
        return CurveTable(
            points=tuple(points),
            places=np.array([place(point) for point in points]),
            is_choice=np.array([isinstance(parameter, Choice) for parameter in parameters.values()]),
            lowest_nlls=np.minimum.accumulate(nlls, axis=1),
        )

    @property
    def epochs(self) -> int:
        """The number of epochs of a full curve."""
        return self.lowest_nlls.shape[1]

    def nearest(self, point: dict[str, Scalar], used: Set[int] = frozenset()) -> int:
        """The unused row nearest to a point, by squared distance.

        A range counts with the difference as a share of the range, a different choice with one, and so does a parameter
        that is sampled in only one of the two.
        """
        there, here = self.places, np.array(place(point))
        apart = np.where(self.is_choice, there != here, np.abs(there - here))
        neither, either = np.isnan(there) & np.isnan(here), np.isnan(there) | np.isnan(here)
        distances = np.square(np.where(neither, 0.0, np.where(either, 1.0, apart))).sum(axis=1)
        distances[list(used)] = np.inf
        return int(distances.argmin())


def place(point: dict[str, Scalar]) -> list[float]:
    """A point as numbers: 0..1 within a range, the index of a choice, nan for a parameter that is not sampled."""
    return [_position(parameter, point.get(name)) for name, parameter in space().items()]


def _position(parameter: Choice | Float | Whole, value: Scalar | None) -> float:
    if value is None:
        return np.nan
    if isinstance(parameter, Choice):
        return float(parameter.options.index(value))
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        return float(np.log(float(value) / low) / np.log(high / low))
    return (float(value) - low) / (high - low)


def write(run: Run, path: Path = TABLE) -> int:
    """Write the curves of a sweep and return how many there are."""
    points = {number: trial.assignment.point for number, trial in known_history(run).trials.items()}
    rows = [
        {
            **{name: (points[record.trial] or {}).get(name) for name in space()},
            **{f"nll {row.epoch}": f"{row.validation_nll:.4g}" for row in record.curve},
        }
        for record in run.records
        if record.status == "finished" and points[record.trial] is not None
    ]
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4g")
    return len(rows)


def main() -> None:
    """Write the table from a sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep")
    parser.add_argument("--runs", type=Path, default=Path(DEFAULT_RUNS))
    asked = parser.parse_args()
    print(f"{write(Run.open(asked.runs, asked.sweep))} curves in {TABLE}")


if __name__ == "__main__":
    main()

"""How much each searched field mattered: permutation importance in boosted trees, with its uncertainty.

The trees (Friedman 2001, Annals of Statistics 29) learn to predict a trial's log NLL from its fields. A field's
importance is how much worse they predict held-out trials (five folds) when the field is permuted (Breiman 2001, Machine
Learning 45). If the trees have no skill on held-out trials, importances mean little and none are given.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.rows.search import Dimension

FOLDS = 5
REPEATS = 3
TREES = 60
DEPTH = 3
FEWEST_TRIALS = 20
MOST_TRIALS = 400  # spread evenly over all: more take long and change little
LEAST_SKILL = 0.2  # R2: below it the order of the fields is mostly luck
SAME = 1e-9  # log NLLs with a smaller standard deviation are taken as equal
LONGEST_SECONDS = 120.0  # for the trees, in a process of their own
ABSENT = -1.0  # stands for a field that does not apply


@dataclass(frozen=True, kw_only=True)
class Importance:
    """One field: how much the share of explained variance falls when it is permuted."""

    name: str
    mean: float
    standard_deviation: float  # over folds and repeats


@dataclass(frozen=True, kw_only=True)
class Importances:
    """All fields, the most important first. `skill` is the trees' R2 on held-out trials."""

    rows: tuple[Importance, ...]
    skill: float
    trial_n: int


def importances(dimensions: Sequence[Dimension], nlls: Sequence[float]) -> Importances | str:
    """Fields by importance, or the reason why there are none. Each dimension holds one value per NLL."""
    question = _question(dimensions, nlls)
    return question if isinstance(question, str) else _answer(dimensions, question, *fitted(*question))


def begun(dimensions: Sequence[Dimension], nlls: Sequence[float]) -> Callable[[], Importances | str]:
    """`importances`, computed by another process from now on; the returned function waits for them.

    scikit-learn's import and the trees take a third of the time that a page takes, and need nothing of the rest of it.
    """
    question = _question(dimensions, nlls)
    if isinstance(question, str):
        return lambda: question
    pool = ThreadPoolExecutor(1)
    future = pool.submit(_fitted_elsewhere, *question)
    pool.shutdown(wait=False)
    return lambda: _answer(dimensions, question, *future.result())


Table = npt.NDArray[np.float64]  # (trials, fields)
Fall = npt.NDArray[np.float64]  # (fields, folds times repeats): how much the prediction gets worse


def _question(dimensions: Sequence[Dimension], nlls: Sequence[float]) -> tuple[Table, Table] | str:
    """Fields and log NLLs of the trials that are looked at, or the reason why there are no importances."""
    if len(nlls) < FEWEST_TRIALS or not dimensions:
        return f"fewer than {FEWEST_TRIALS} trials, or no field that varied: too little to tell what mattered"
    chosen = np.unique(np.linspace(0, len(nlls) - 1, MOST_TRIALS).astype(int))
    table = np.stack([_column(dimension) for dimension in dimensions], axis=1)[chosen]
    target = np.log(np.maximum(np.array(nlls), 1e-12))[chosen]
    if float(target.std()) < SAME:
        return "all trials have the same NLL: no field mattered"
    return table, target


def fitted(table: Table, target: Table) -> tuple[Fall, float]:
    """How much worse each field's permutation makes the prediction, and the skill on held-out trials.

    table: (trials, fields), target: (trials,).
    """
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    falls, errors = [], np.zeros(len(target))
    for learn, judge in KFold(FOLDS, shuffle=True, random_state=0).split(table):
        trees = GradientBoostingRegressor(n_estimators=TREES, max_depth=DEPTH, subsample=0.7, random_state=0)
        trees.fit(table[learn], target[learn])
        errors[judge] = trees.predict(table[judge]) - target[judge]
        # In units of the variance over all trials, so that folds can be compared.
        scored = permutation_importance(
            trees, table[judge], target[judge], scoring="neg_mean_squared_error", n_repeats=REPEATS, random_state=0
        )
        falls.append(scored.importances / float(target.var()))
    return np.concatenate(falls, axis=1), 1 - float((errors**2).mean()) / float(target.var())


def _fitted_elsewhere(table: Table, target: Table) -> tuple[Fall, float]:
    """`fitted`, in a process of its own; here if that fails."""
    question = json.dumps([table.tolist(), target.tolist()]).encode()
    try:
        # -P: a file in the working folder must not stand in for a module.
        command = [sys.executable or "", "-P", "-m", "reports.rows.importance"]
        done = subprocess.run(command, input=question, capture_output=True, timeout=LONGEST_SECONDS, check=True)  # noqa: S603 - our own module
        falls, skill = json.loads(done.stdout)
        return np.array(falls), float(skill)
    except (OSError, subprocess.SubprocessError, ValueError):
        return fitted(table, target)


def _answer(
    dimensions: Sequence[Dimension], question: tuple[Table, Table], falls: Fall, skill: float
) -> Importances | str:
    trial_n = len(question[1])
    if skill < LEAST_SKILL:
        return f"the settings do not predict the results (R2 {skill:.2f} on {trial_n} held-out trials)"
    rows = [
        Importance(name=dimension.name, mean=float(fall.mean()), standard_deviation=float(fall.std(ddof=1)))
        for dimension, fall in zip(dimensions, falls, strict=True)
    ]
    return Importances(rows=tuple(sorted(rows, key=lambda row: -row.mean)), skill=skill, trial_n=trial_n)


def _column(dimension: Dimension) -> npt.NDArray[np.float64]:
    """Numbers as they are (logs make no difference to a tree), names by their alphabetical position."""
    if dimension.numeric:
        present = [float(value) for value in dimension.values if value is not None]
        absent = min(present) - 1
        return np.array([absent if value is None else float(value) for value in dimension.values])
    names = sorted({str(value) for value in dimension.values if value is not None})
    return np.array([ABSENT if value is None else float(names.index(str(value))) for value in dimension.values])


if __name__ == "__main__":
    # scikit-learn imports pandas if it is installed (0.2 s). It gets no tables here, so we hide it meanwhile.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sklearn.ensemble
    import sklearn.inspection  # noqa: F401

    del sys.modules["pandas"]
    _falls, _skill = fitted(*map(np.array, json.load(sys.stdin)))
    json.dump([_falls.tolist(), _skill], sys.stdout)

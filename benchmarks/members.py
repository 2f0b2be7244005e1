"""Which members make the better ensemble? Ways to choose them, on stored validation predictions. Opens no test set.

The validation images are cut at random into those that choose and those that judge, as many times as asked; each time,
a random pool of the runs' trials is what there is to choose from. Printed: NLL and errors on the judging images, and
the difference from the best five.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digits_core.environment import hardware_name
from digits_core.judging.ensemble import combine, greedy_weights
from digits_core.metrics import image_nll
from digits_core.runs.run import Run

Labels = npt.NDArray[np.int64]  # (N,)
Members = npt.NDArray[np.float64]  # (M, N, 10), best first on the images that choose
Choose = Callable[[Labels, Members, Sequence[str]], npt.NDArray[np.float64]]
"""(labels, the pool's predictions, its architectures) -> weights (M,)."""

SIZE = 5  # members of the ensembles, where a way has a size
BASELINE = "best 5"


def first(count: int) -> Choose:
    """The best `count`."""

    def chosen(labels: Labels, said: Members, names: Sequence[str]) -> npt.NDArray[np.float64]:
        del labels, names
        return _equal(range(min(count, len(said))), len(said))

    return chosen


def at_most(count: int) -> Choose:
    """The best five, but at most `count` of one architecture."""

    def chosen(labels: Labels, said: Members, names: Sequence[str]) -> npt.NDArray[np.float64]:
        del labels
        seen: Counter[str] = Counter()
        kept = []
        for place, name in enumerate(names):
            if seen[name] < count:
                kept.append(place)
                seen[name] += 1
        return _equal(kept[:SIZE], len(said))

    return chosen


def forward(bonus: float) -> Choose:
    """Five, one after another: each lowers the vote's NLL most, less `bonus` times its disagreement with the others."""

    def chosen(labels: Labels, said: Members, names: Sequence[str]) -> npt.NDArray[np.float64]:
        del names
        wrong = said.argmax(axis=2) != labels
        kept = [0]

        def cost(place: int) -> float:
            apart = np.mean([(wrong[place] != wrong[other]).mean() for other in kept])
            return float(image_nll(labels, said[[*kept, place]].mean(axis=0)).mean() - bonus * apart)

        while len(kept) < min(SIZE, len(said)):
            kept.append(min((place for place in range(len(said)) if place not in kept), key=cost))
        return _equal(kept, len(said))

    return chosen


def greedy(count: int) -> Choose:
    """Bagged greedy selection of the best `count`."""

    def chosen(labels: Labels, said: Members, names: Sequence[str]) -> npt.NDArray[np.float64]:
        del names
        weights = np.zeros(len(said))
        weights[:count] = greedy_weights(labels, said[:count].astype(np.float32))
        return weights

    return chosen


WAYS: dict[str, Choose] = {
    "best 1": first(1),
    BASELINE: first(SIZE),
    "all": first(10**6),
    "5, at most 1 per architecture": at_most(1),
    "5, at most 2 per architecture": at_most(2),
    "5, at most 3 per architecture": at_most(3),
    "5 forward": forward(0.0),
    "5 forward, bonus 0.5": forward(0.5),
    "5 forward, bonus 2": forward(2.0),
    "greedy of 5": greedy(SIZE),
    "greedy of all": greedy(10**6),
}


def _equal(places: Sequence[int], count: int) -> npt.NDArray[np.float64]:
    weights = np.zeros(count)
    weights[list(places)] = 1 / len(places)
    return weights


def compared(
    labels: Labels, said: Members, names: Sequence[str], *, splits: int, pool: int, share: float
) -> dict[str, npt.NDArray[np.float64]]:
    """By way, (splits, 2): NLL and errors on the images that judge. share: of the images that choose."""
    stream = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(splits):
        order = stream.permutation(len(labels))
        chooses, judges = np.split(order, [round(share * len(labels))])
        members = stream.choice(len(said), size=min(pool, len(said)), replace=False)
        nlls = [image_nll(labels[chooses], said[member, chooses]).mean() for member in members]
        members = members[np.argsort(nlls, kind="stable")]
        own = [names[member] for member in members]
        for way, choose in WAYS.items():
            together = combine(said[members][:, judges], choose(labels[chooses], said[members][:, chooses], own))
            wrong = int((together.argmax(axis=1) != labels[judges]).sum())
            found[way].append((float(image_nll(labels[judges], together).mean()), wrong))
    return {way: np.array(values) for way, values in found.items()}


def main() -> None:
    """Compare the ways on the trials of the sweeps that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("sweeps", nargs="+", help="sweeps on the same data set; their confirmed runs count as well")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--pool", type=int, default=12)
    asked = parser.parse_args()
    homes = [run for name in asked.sweeps for run in (Run.open(asked.runs, name),)]
    homes += [confirmed for run in homes for confirmed in (run.confirmation(),) if confirmed is not None]
    trials = [(home, record) for home in homes for record in home.ranked if record.status == "finished"]
    said = np.stack([home.validation_probabilities(one.trial) for home, one in trials]).astype(np.float64)
    names = [one.recipe.model.name for _, one in trials]
    labels = homes[0].validation_labels
    found = compared(labels, said, names, splits=asked.splits, pool=asked.pool, share=0.5)
    print(
        f"{hardware_name()}; {len(said)} networks ({', '.join(f'{n} {name}' for name, n in Counter(names).items())}),"
        f" {len(labels):,} images, half of them choose; pools of {asked.pool}, {asked.splits} splits"
    )
    base = found[BASELINE]
    for way, values in found.items():
        apart = values - base
        print(
            f"{way:29s} NLL {values[:, 0].mean():.5f}, {values[:, 1].mean():.2f} wrong; to the best 5: NLL"
            f" {apart[:, 0].mean():+.5f} (better in {(apart[:, 0] < 0).mean():.0%}), wrong {apart[:, 1].mean():+.2f}"
        )


if __name__ == "__main__":
    main()

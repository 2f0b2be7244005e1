"""Tables of predictions that were made outside digits: CSV and Parquet, and which column is what.

Capitals, spaces, hyphens and underscores in the names of columns do not matter.
"""

import csv
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits_core.data.arrays import LARGEST_BYTE_COUNT
from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import UsageError, shortened
from digits_core.outside.values import Array, Numbers

if TYPE_CHECKING:
    import pandas as pd

ROLES = {
    "probabilities": ("probabilities", "probability", "probs", "prob", "proba"),  # arrays only: a table has ten columns
    "predictions": ("prediction", "predictions", "predicted", "pred", "preds", "predictedlabel", "ypred"),
    "labels": ("label", "labels", "target", "targets", "ytrue", "true"),
    "indices": ("index", "indices", "id", "ids"),
    "seed": ("seed", "seeds"),
    "model": ("model", "models"),
}
NUMBERED = re.compile(r"(|.*\D)(\d{1,9})")
OF_SEEDS = re.compile(rf"(?:{'|'.join(ROLES['predictions'])})?seed|(?:{'|'.join(ROLES['predictions'])})")
OF_PROBABILITIES = ("", "p", "class", "digit", *ROLES["probabilities"])  # whose columns have to be ten
EMPTY = ("", "nan", "NaN", "NAN", "NA", "N/A", "<NA>", "null", "NULL", "None")  # in a column of numbers
MOST_PROBABILITIES = 2 * CLASS_COUNT  # more columns of one kind beside predictions are something else: pixels
MOST_NAMES = 12  # listed in one error message
LONGEST_NAME = 40  # characters of each
EXPECTED = (
    "needed are ten columns of probabilities, p0 to p9, or one called prediction; beside them may stand index, label,"
    " seed and model"
)


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a file holds, by what it means. Shapes and values are not checked yet."""

    probabilities: Array | None = None  # (N, 10) or (S, N, 10)
    predictions: Array | None = None  # (N,) or (S, N)
    labels: Array | None = None
    indices: Array | None = None
    model: str | None = None  # of the whole file; None if it does not say
    seeds: tuple[str, ...] = ()  # along S; none if it does not say
    row_models: tuple[str, ...] = ()  # along N, of a table that says so row by row
    row_seeds: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A name as it is compared."""
    return re.sub(r"[\s_-]+", "", name).lower()


def role_of(name: str) -> str | None:
    """What a column or an array is, by its name; None if it is nothing of ours."""
    return next((role for role, names in ROLES.items() if plain(name) in names), None)


def listed(names: list[str]) -> str:
    """Names as an error message shows them."""
    shown = ", ".join(repr(shortened(name, LONGEST_NAME)) for name in names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown or "nothing"


def places_by_role(path: Path, names: list[str]) -> dict[str, int]:
    """Role -> its place among the names. Raises UsageError if two names have the same one."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        role = role_of(name)
        if role in places:
            raise UsageError(f"{path}: {listed([names[places[role]], name])} both mean {role}; keep one of them")
        if role is not None:
            places[role] = place
    return places


# --- from the file to columns ---


def _table(path: Path) -> tuple[list[str], "pd.DataFrame"]:
    """The names of the columns, and the columns by their place. Raises UsageError for what is no table."""
    try:
        names, table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(f"{path} cannot be read without pyarrow: pip install pyarrow, or hand in a CSV") from error
    except UnicodeError as error:
        raise UsageError(f"{path} is not UTF-8 text; save it as CSV in UTF-8") from error
    except Warning as error:
        raise UsageError(f"{path} is not a CSV table: a row has more cells than the first; write it again") from error
    except Exception as error:  # the libraries raise many kinds for damaged files
        kind = "a whole Parquet file" if path.suffix.lower() == ".parquet" else "a CSV table"
        reason = shortened((str(error).splitlines() or [type(error).__name__])[0], 100)
        raise UsageError(f"{path} is not {kind} ({reason}); write it again") from error
    if not len(table):
        raise UsageError(f"{path} has no rows")
    return names, table


def _parquet(path: Path) -> tuple[list[str], "pd.DataFrame"]:
    import pandas as pd
    from pyarrow import parquet

    with path.open("rb") as stream:  # not the path: folders such as seed=3 would add columns
        stated = parquet.ParquetFile(stream).metadata
        if stated.num_rows * max(1, stated.num_columns) * 8 > LARGEST_BYTE_COUNT:
            raise UsageError(f"{path} unpacks to more than {LARGEST_BYTE_COUNT // 2**30} GB")
        stream.seek(0)
        table = pd.read_parquet(stream)
    if not all(name is None for name in table.index.names):
        table = table.reset_index(allow_duplicates=True)  # stored as pandas' index, which may well be ours
    elif not table.index.equals(pd.RangeIndex(len(table))):
        raise _nameless_index(path)
    names = [str(name).strip() for name in table.columns]
    table.columns = pd.Index(range(len(names)))
    _check_names(path, names)
    return names, table


def _csv(path: Path) -> tuple[list[str], "pd.DataFrame"]:
    """With commas, semicolons or tabs between the cells."""
    import pandas as pd

    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        first = next((line for line in iter(lambda: stream.readline(100_000), "") if line.strip()), "")
    separator = max(",;\t", key=first.count)
    names = [cell.strip() for cell in next(csv.reader([first.rstrip("\r\n")], delimiter=separator), [])]
    if not names or "\0" in first:
        raise UsageError(f"{path} is not a CSV table; write one in UTF-8")
    _check_names(path, names)
    texts = [place for place, name in enumerate(names) if role_of(name) in ("model", "seed")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
        table = pd.read_csv(
            path,
            sep=separator,
            header=0,
            names=[str(place) for place in range(len(names))],
            index_col=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            low_memory=False,
            dtype=dict.fromkeys(map(str, texts), str),
            keep_default_na=False,  # a model may be called NA
            na_values={str(place): EMPTY for place in range(len(names)) if place not in texts},
        )
    table.columns = pd.Index(range(len(names)))
    return names, table


def _check_names(path: Path, names: list[str]) -> None:
    """Raise UsageError for a header that cannot be meant."""
    if not names:
        raise UsageError(f"{path} has no columns; {EXPECTED}")
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise UsageError(f"{path} has more than one column {listed(twice[:1])}; rename or remove all but one")
    if not names[0] or plain(names[0]).startswith("unnamed:"):
        raise _nameless_index(path)
    are_numbers = all(re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", name, re.IGNORECASE) for name in names)
    if are_numbers and not any(set(group) >= set(range(CLASS_COUNT)) for group in _numbered(names).values()):
        raise UsageError(f"{path} has no names of columns in its first row, but numbers; {EXPECTED}")


def _nameless_index(path: Path) -> UsageError:
    return UsageError(
        f"{path} begins with a column without a name, the index of pandas: write it with index=False, or name it index"
        " if it holds positions in the data set, counted from 0"
    )


# --- from columns to what they mean ---


def content_of_table(path: Path) -> Content:
    """Predictions of one or several models. Raises UsageError if it is in doubt which columns hold them."""
    names, table = _table(path)
    _refuse_kaggle(path, names, "; rename its column Label to prediction if it holds what a model predicted")
    places = places_by_role(path, names)
    seeds, probabilities = _seed_columns(path, names, table), None
    ten = _probability_columns(path, names, of_seeds=bool(seeds))
    if ten:
        probabilities = _numbers(path, names, table, ten)
    if seeds and ("seed" in places or "predictions" in places or (ten and len(seeds) > 1)):
        others = [names[places[role]] for role in ("seed", "predictions") if role in places] or [names[ten[0]]]
        raise UsageError(f"{path} has {listed([names[one] for one in seeds.values()] + others)}; keep one or the other")
    found = {
        role: _numbers(path, names, table, [places[role]])[:, 0]
        for role in ("predictions", "labels", "indices")
        if role in places
    }
    if seeds:
        found["predictions"] = _numbers(path, names, table, list(seeds.values())).T
    if probabilities is None and "predictions" not in found:
        raise _without_predictions(path, names, places)
    texts = {role: _texts(path, names, table, places[role]) for role in ("model", "seed") if role in places}
    return Content(
        probabilities=probabilities,
        predictions=found.get("predictions"),
        labels=found.get("labels"),
        indices=found.get("indices"),
        seeds=tuple(map(str, seeds)),
        row_models=texts.get("model", ()),
        row_seeds=texts.get("seed", ()),
    )


def labels_of_table(path: Path) -> tuple[Array, Array | None]:
    """Labels and, if the table has them, the positions of their images. Raises UsageError if it has no labels."""
    names, table = _table(path)
    _refuse_kaggle(path, names, "")
    places = places_by_role(path, names)
    if "labels" not in places:
        _refuse_one_hot(path, names)
        raise UsageError(f"{path} has no column of labels, but {listed(names)}; call it label")
    found = [
        _numbers(path, names, table, [places[role]])[:, 0] if role in places else None for role in ("labels", "indices")
    ]
    assert found[0] is not None
    return found[0], found[1]


def _without_predictions(path: Path, names: list[str], places: dict[str, int]) -> UsageError:
    is_renamed = f"; if {names[places['labels']]!r} holds predictions, rename it" if "labels" in places else ""
    return UsageError(f"{path} has no predictions, but the columns {listed(names)}; {EXPECTED}{is_renamed}")


def _refuse_kaggle(path: Path, names: list[str], remedy: str) -> None:
    found = [name for name in names if plain(name) == "imageid"]
    if found:
        raise UsageError(
            f"{path} counts its images from 1 in {found[0]!r}, as Kaggle does; call that column index and count from 0"
            f"{remedy}"
        )


def _refuse_one_hot(path: Path, names: list[str]) -> None:
    for prefix, group in _numbered(names).items():
        if prefix in ROLES["labels"] and len(group) > 1:
            shown = listed([names[places[0]] for places in group.values()])
            raise UsageError(f"{path}: {shown} look like one-hot labels; write one column label, their argmax(axis=1)")


def _numbered(names: list[str]) -> dict[str, dict[int, list[int]]]:
    """Prefix -> number -> places, of the columns that end in a number."""
    groups: dict[str, dict[int, list[int]]] = {}
    for place, name in enumerate(names):
        match = NUMBERED.fullmatch(plain(name))
        if match is not None:
            groups.setdefault(match.group(1), {}).setdefault(int(match.group(2)), []).append(place)
    return groups


def _seed_columns(path: Path, names: list[str], table: "pd.DataFrame") -> dict[int, int]:
    """Seed -> place, where every seed has a column of predictions. Ten with fractions are probabilities instead."""
    groups = {prefix: group for prefix, group in _numbered(names).items() if OF_SEEDS.fullmatch(prefix)}
    if len(groups) > 1 or any(len(places) > 1 for group in groups.values() for places in group.values()):
        shown = [names[place] for group in groups.values() for places in group.values() for place in places]
        raise UsageError(f"{path}: it is in doubt which seeds {listed(shown)} belong to; name them prediction_SEED")
    seeds = {number: places[0] for group in groups.values() for number, places in group.items()}
    if set(seeds) == set(range(CLASS_COUNT)):
        values = _numbers(path, names, table, list(seeds.values()))
        if (values % 1).any() or (values.sum(axis=1) == 1).all():
            return {}
    return seeds


def _probability_columns(path: Path, names: list[str], *, of_seeds: bool) -> list[int]:
    """The places of the ten columns, by digit; empty if there are none. Raises UsageError for nine, or twice ten."""
    _refuse_one_hot(path, names)
    groups = {
        prefix: group for prefix, group in _numbered(names).items() if not (OF_SEEDS.fullmatch(prefix) and of_seeds)
    }
    complete = [
        [group[digit][0] for digit in range(CLASS_COUNT)]
        for group in groups.values()
        if set(group) == set(range(CLASS_COUNT)) and all(len(places) == 1 for places in group.values())
    ]
    if len(complete) > 1:
        shown = [names[place] for ten in complete for place in (ten[0], ten[-1])]
        raise UsageError(f"{path} has more than ten columns that may be probabilities: {listed(shown)}; keep ten")
    if complete:
        return complete[0]
    is_alone = not of_seeds and not any(role_of(name) == "predictions" for name in names)
    for prefix, group in groups.items():
        places = [place for number in sorted(group) for place in group[number]]
        is_close = prefix in OF_PROBABILITIES and len(places) < MOST_PROBABILITIES
        if (is_close or is_alone) and len(places) > 1:
            raise UsageError(
                f"{path} has {len(places)} numbered columns, {names[places[0]]!r} to {names[places[-1]]!r}; of"
                " probabilities it needs ten, numbered by their digit from 0 to 9"
            )
    return []


# --- cells ---


def _numbers(path: Path, names: list[str], table: "pd.DataFrame", places: list[int]) -> Numbers:
    """Columns as they stand, (N, len(places)). Raises UsageError for text, empty cells and infinity."""
    import pandas as pd

    columns = []
    for place in places:
        column, name = table[place], repr(shortened(names[place], LONGEST_NAME))
        if not pd.api.types.is_any_real_numeric_dtype(column.dtype):
            are_numbers = pd.to_numeric(column.astype(str), errors="coerce").notna().to_numpy()
            if are_numbers.all():
                raise UsageError(f"{path}: its column {name} is of type {column.dtype}; write it as numbers")
            row = int(are_numbers.argmin())
            value = shortened(str(column.iloc[row]), LONGEST_NAME)
            raise UsageError(
                f"{path}: its column {name} holds {value!r} in row {row + 1}; it must hold numbers, with decimal points"
            )
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.isfinite(values).all():
            row = int(np.isfinite(values).argmin())
            what = "infinity" if np.isinf(values[row]) else "an empty cell or NaN"
            raise UsageError(
                f"{path}: its column {name} holds {what} in row {row + 1}; fill it in or leave the row out"
            )
        columns.append(values)
    return np.stack(columns, axis=1)


def _texts(path: Path, names: list[str], table: "pd.DataFrame", place: int) -> tuple[str, ...]:
    """A column as text. Raises UsageError for empty cells."""
    column = table[place]
    values = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in column]
    texts = ["" if is_empty else str(one).strip() for one, is_empty in zip(values, column.isna(), strict=True)]
    if "" in texts:
        raise UsageError(
            f"{path}: its column {names[place]!r} has an empty cell in row {texts.index('') + 1}; fill it in"
        )
    return tuple(texts)

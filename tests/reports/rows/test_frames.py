import io

import pandas as pd

from digits_core.recipe import FIELD_TYPES
from digits_core.runs.run import Run
from reports.pages.report import write_report
from reports.rows.frames import leaderboard_rows
from reports.rows.tables import collect
from tests.helpers.runs import opened_for


def test_table_holds_every_figure_and_survives_csv(sweep_store: Run) -> None:
    sweep_store = opened_for(sweep_store)
    data = collect(sweep_store)
    rows = data.leaderboard
    frame = pd.DataFrame(leaderboard_rows(rows))
    assert list(frame["standing"]) == [1, 2, 3, 4]
    assert frame["tied_with_leader"].dtype == bool
    assert list(frame["trial"]) == [row.record.trial for row in rows]
    assert list(frame["validation_nll"]) == [row.validation.score.nll for row in rows]
    assert frame["test_nll"].notna().tolist() == [True, False, False, False]
    assert set(FIELD_TYPES) <= set(frame.columns)
    write_report(sweep_store)
    read_back = pd.read_csv(sweep_store.folder / "leaderboard.csv")
    pd.testing.assert_frame_equal(read_back, pd.read_csv(io.StringIO(frame.to_csv(index=False))))
    assert list(read_back["validation_error_count"]) == [row.validation.score.error_count for row in rows]

from pathlib import Path

import pytest

from digits_core.remote.mirror_rules import (
    FETCHING,
    SENDING,
    Stamps,
    by_run,
    is_needless,
    is_theirs,
    merged_lines,
    order_of_files,
    read_known,
    scope_of,
)

OLD, NEW, OTHER = (1, 1), (2, 2), (3, 3)


@pytest.mark.parametrize(
    ("theirs", "ours", "known", "expected", "expected_when_overtaken"),
    [
        (OLD, OLD, (OLD, OLD), False, False),
        (NEW, OLD, (OLD, OLD), True, True),  # changed in the store
        (None, OLD, (OLD, OLD), True, True),  # removed from the store
        (OLD, NEW, (OLD, OLD), False, True),  # changed here
        (OLD, None, (OLD, OLD), True, True),  # missing here
        (NEW, OTHER, (OLD, OLD), False, True),  # changed on both sides
        (None, NEW, None, False, True),  # new here
        (NEW, None, None, True, True),  # new in the store
        (NEW, OTHER, None, True, True),  # unknown
        (NEW, OTHER, (OLD, FETCHING), True, True),  # a download was interrupted
        (NEW, OTHER, (OLD, SENDING), False, True),  # an upload was interrupted
    ],
)
def test_which_version_wins(
    theirs: tuple[int, int] | None,
    ours: tuple[int, int] | None,
    known: tuple[tuple[int, int], tuple[int, int]] | None,
    expected: bool,
    expected_when_overtaken: bool,
) -> None:
    assert is_theirs(theirs, ours, known, overtaken=False) is expected
    assert is_theirs(theirs, ours, known, overtaken=True) is expected_when_overtaken


def test_files_of_an_inner_run_belong_to_it() -> None:
    there: Stamps = {"one/sweep.json": OLD, "one/confirmed/sweep.json": OLD}
    here: Stamps = {"one/refitted/driver.json": OLD}
    for path, scope in {
        "one/trials/00001/record.json": "one", "one/report.html": "one", "one/confirmed/a/x": "one/confirmed",
        "one/refitted/driver.json": "one/refitted", "one/sweep.json": "one",
    }.items():  # fmt: skip
        assert scope_of(path, "one", there, here) == scope


def test_records_are_uploaded_after_the_files_they_stand_for() -> None:
    names = ["driver.json", "journal.jsonl", "trials/1/record.json", "sweep.json", "trials/1/weights.safetensors"]
    assert sorted((f"one/{name}" for name in names), key=order_of_files) == [
        f"one/{name}" for name in (names[4], names[2], names[3], names[1], names[0])
    ]


def test_only_leftovers_of_a_completed_trial_are_needless() -> None:
    here: Stamps = {"one/trials/1/record.json": OLD}
    assert is_needless("one/trials/1/progress.json", here)
    assert not is_needless("one/trials/1/weights.safetensors", here)
    assert not is_needless("one/trials/2/progress.json", here)


def test_lines_of_both_sides_are_merged() -> None:
    assert merged_lines(b"a\nb\n", b"a\nc\n") == b"a\nb\nc\n"
    assert merged_lines(b"", b"a\n") == b"a\n"


def test_only_folders_with_a_header_are_runs() -> None:
    entries: Stamps = dict.fromkeys(["one/sweep.json", "one/driver.lock", "one/a/b", "two/a", "sweep.json"], OLD)
    assert by_run(entries) == {"one": {"one/sweep.json": OLD, "one/a/b": OLD}}


def test_notes_about_paths_outside_the_run_are_ignored(tmp_path: Path) -> None:
    note = tmp_path / "one.json"
    note.write_text('{"one/a": [[1, 1], [2, 2]], "two/a": [[1, 1], [2, 2]], "one/../b": [[1, 1], [2, 2]]}')
    assert read_known(note, "one") == {"one/a": ((1, 1), (2, 2))}

"""`digits track` through the command line. What arrives where: tests/digits_core/tracking."""

import json
from pathlib import Path

from digits_core.runs.run import Run
from tests.helpers.command_line import run


def test_a_run_is_sent_once_with_its_page(sweep_store: Run, tmp_path: Path) -> None:
    place = ("--runs", str(sweep_store.folder.parent))
    code, out, _ = run("track", "tiny", *place, "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["entries"], document["sent"], document["is_over"]) == (6, 6, True)
    assert document["at"] == str(sweep_store.folder.parent / "tracked" / "tensorboard")
    assert (sweep_store.folder / "report.html").exists()
    _, out, _ = run("track", "tiny", *place)
    assert "0 of 6 entries; the others were there already" in out
    assert out.splitlines()[-1].startswith("next")


def test_bad_input_is_one_line(sweep_store: Run, tmp_path: Path) -> None:
    place = ("--runs", str(sweep_store.folder.parent))
    code, _, err = run("track", "absent", *place)
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = run("track", "tiny", "--at", "/proc/none", *place)
    assert (code, err.count("\n")) == (1, 1)
    assert "name another folder with --at" in err

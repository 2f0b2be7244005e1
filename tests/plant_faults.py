"""Plants faults one by one and says which tests catch each. Run by hand: `python -m tests.plant_faults [WORD ...]`.

Each fault is an edit in a copy of the working tree; the tests named with it must pass before and fail after. WORDs
choose the faults whose description has one of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.paths import ROOT


@dataclass(frozen=True)
class Fault:
    """What goes wrong, the edit that makes it so, and the tests that must notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str


CORE, SWEEPS = "tests/digits_core", "tests/sweeps"
FAULTS = (
    Fault("the journal loses the line that a trial is over", "digits_core/runs/journal.py",
          'self._append("over", {"trial": trial, "status": status})', "return", f"{SWEEPS}/running"),
    Fault("a record is written before the files that it stands for", "digits_core/runs/trial_folder.py",
          "        for name, content in best.items():\n",
          "        write_atomically(self.folder / RECORD, json_bytes(record.to_dict()))\n"
          "        for name, content in best.items():\n", f"{CORE}/runs"),
    Fault("a file is written in place instead of renamed", "digits_core/runs/durable.py",
          "os.replace(temporary, path)", "path.write_bytes(content); os.unlink(temporary)", f"{CORE}/runs"),
    Fault("ASHA's first rung is one epoch late", "sweeps/search/schedulers.py",
          "(max_epochs // 6, 2)", "(max_epochs // 6 + 1, 2)", f"{SWEEPS}/search"),
    Fault("a stopped trial that is resumed trains one epoch more", "sweeps/running/objective.py",
          "if not any(run.is_restored for run in self.runs) and not self.is_over:", "if not self.is_over:",
          f"{SWEEPS}/running"),
    Fault("the default recipe may be stopped early", "sweeps/search/schedulers.py",
          " or number < self.spared:", ":", f"{SWEEPS}/search"),
    Fault("a recipe known to be good may be stopped early", "sweeps/plans/planning.py",
          "spared=1 + len(known),", "", f"{SWEEPS}/plans"),
    Fault("a run that did not end in time confirms its recipe", "sweeps/running/driver.py",
          "if self.plan.header.kind in (RunKind.CONFIRMATION, RunKind.REFIT):", "if False:",
          f"{SWEEPS}/plans {SWEEPS}/running"),
    Fault("a confirmation begins runs that there is no time for", "sweeps/plans/timing.py",
          "+ testing <= self.seconds_left", "<= 2 * self.seconds_left", f"{SWEEPS}/plans"),
    Fault("a network is asked about poses that it was not trained on", "digits_core/inference/poses.py",
          "if zoom > 0 else []", "", f"{CORE}/inference"),
    Fault("an ensemble with test-time augmentation predicts without it", "digits_core/inference/classifier.py",
          "as_built if tta is None else tta", "bool(tta)", f"{CORE}/inference"),
    Fault("the mean of the last epochs' weights begins an epoch early", "digits_core/training/engine.py",
          "self._is_among_last(self.recipe.training.average_epochs, epoch)",
          "self._is_among_last(self.recipe.training.average_epochs + 1, epoch)", f"{CORE}/training"),
    Fault("a worker sends NaN instead of failing", "digits_core/training/engine.py",
          "if not np.isfinite(probabilities).all():", "if False:", f"{CORE}/training {SWEEPS}/running"),
    Fault("the weights of one trial too many are dropped", "sweeps/running/driver.py",
          "(*ranked[:keep], *front)", "(*ranked[: keep - 1], *front)", f"{SWEEPS}/running"),
    Fault("the driver forgets a state that a worker sent", "sweeps/running/driver.py",
          "self._write(lambda: self.writer.trial(number).write_state(state))", "pass", f"{SWEEPS}/running"),
    Fault("the journal does not know that a trial was tried again", "sweeps/running/driver.py",
          "self._write(lambda: self.journal.retried(trial))", "pass", f"{SWEEPS}/running"),
    Fault("draws depend on how often a sweep was resumed", "sweeps/search/study.py",
          "self.study.sampler = self._sampler(trial)", "self.study.sampler = self._sampler(len(self.study.trials) % 3)",
          f"{SWEEPS}/search {SWEEPS}/running"),
    Fault("labels do not belong to their images", "digits_core/data/digits.py",
          "return LabelledImages(images=self.images[indices], labels=self.labels[indices])",
          "return LabelledImages(images=self.images[indices], labels=self.labels[indices - 1])", f"{CORE}/data"),
    Fault("one sealed test image is trained on", "digits_core/data/digits.py",
          "    train, validation, _ = digits.parts\n    return Split(\n        train=digits.take(train),",
          "    train, validation, test = digits.parts\n    train = np.append(train, test[0])\n"
          "    return Split(\n        train=digits.take(train),",
          f"{CORE}/data"),
    Fault("validation images are augmented", "digits_core/training/engine.py",
          "predict(network, one.data.validation.images,", "predict(network, one.data.validation.images.flip(2),",
          f"{CORE}/training"),
    Fault("ties for the best epoch go to the later one", "digits_core/training/engine.py",
          "nll < one.best.validation.nll", "nll <= one.best.validation.nll", f"{CORE}/training"),
    Fault("copies see their images in one order", "digits_core/training/engine.py",
          'seed_for(one.recipe.training.seed, "order", epoch)', 'seed_for(self.recipe.training.seed, "order", epoch)',
          f"{CORE}/training"),
    Fault("copies share their dropout and augmentation", "digits_core/training/engine.py",
          "seed_for(one.recipe.training.seed, name, epoch)", "seed_for(self.recipe.training.seed, name, epoch)",
          f"{CORE}/training"),
    Fault("a copy that has diverged goes on", "digits_core/training/crew.py",
          "if not (one.is_over or one in over)]", "if one not in ()]", f"{CORE}/training"),
    Fault("the last of a company keeps no state", "sweeps/running/objective.py",
          "if keeps_state else None", "if keeps_state and (run is not self.runs[-1] or len(self.runs) == 1) else None",
          f"{SWEEPS}/running"),
    Fault("McNemar's test is one-sided", "digits_core/judging/stats.py",
          "2 * float(special.bdtr(", "float(special.bdtr(", f"{CORE}/judging"),
    Fault("many tests are not corrected", "digits_core/judging/stats.py",
          "corrected.tolist()", "p_values", f"{CORE}/judging"),
    Fault("an interval of 90 % is called 95 %", "digits_core/judging/stats.py",
          "CONFIDENCE = 0.95", "CONFIDENCE = 0.90", f"{CORE}/judging"),
    Fault("greedy weights are scored on the images that chose them", "digits_core/judging/ensemble.py",
          "fit(labels[~held_out], probabilities[:, ~held_out])", "fit(labels, probabilities)", f"{CORE}/judging"),
    Fault("opening the test set leaves no line in the ledger", "digits_core/inference/sealed.py",
          "    writer.append_to_ledger(purpose, tuple(record.trial for record in records))\n    for keeper in",
          "    for keeper in",
          f"{CORE}/inference"),
    Fault("the leader of a comparison is its luckiest run", "digits_core/judging/candidates.py",
          "return float(np.mean([run.nll for run in self.runs]))", "return min(run.nll for run in self.runs)",
          "tests/test_one_answer.py"),
    Fault("handed-in test predictions are scored without a line in the ledger", "digits_core/inference/sealed.py",
          "    writer.append_to_ledger(purpose, ())\n", "", "tests/digits_cli/test_outside.py"),
    Fault("handed-in predictions stay in their own order", "digits_core/outside/predictions.py",
          "order = places[np.searchsorted(one.indices, indices, sorter=places)]", "order = places", f"{CORE}/outside"),
    Fault("the test set is opened again by whoever finishes a run twice", "sweeps/finishing/finish.py",
          "if not run.has_opened_test(record.trial)", "if True", f"{SWEEPS}/finishing"),
    Fault("names on the page are not escaped", "reports/pages/report.py",
          "autoescape=True", "autoescape=False", "tests/reports/pages"),
    Fault("a run's name may lead out of the runs folder", "digits_core/runs/run.py",
          "if not NAME_PATTERN.fullmatch(name):", "if not name:", f"{CORE}/runs"),
    Fault("the server answers to any host name", "digits_core/delivery/server.py",
          "if is_loopback(opened) else None", "if False else None", f"{CORE}/delivery"),
    Fault("of two who write at once both believe they have won", "digits_core/remote/bucket.py",
          'mode="create" if known is None else known', 'mode="overwrite"', f"{CORE}/remote"),
    Fault("a pulled file is not compared with its checksum", "digits_core/remote/copies.py",
          "if not is_old and entry_of(stored.content) != entry:", "if False:", f"{CORE}/remote"),
    Fault("Ctrl-C exits with 1", "digits_cli/shell.py", "FAILED, USAGE, INTERRUPTED = 1, 2, 130",
          "FAILED, USAGE, INTERRUPTED = 1, 2, 1", "tests/digits_cli tests/test_end_to_end.py"),
    Fault("a table around digits stays", "digits_core/handwriting/frames.py",
          "if down < 2 or len(spanning) - down < 2 or", "if True or", f"{CORE}/handwriting"),
    Fault("every long stroke is taken for a line", "digits_core/handwriting/frames.py",
          "LONG_DOWN, LONG_ACROSS = 3.0, 2.0", "LONG_DOWN, LONG_ACROSS = 0.5, 0.5", f"{CORE}/handwriting"),
    Fault("a page in a class folder is judged as one digit", "digits_core/handwriting/reading.py",
          "self.width > 0 and not self.several", "self.width > 0", "tests/digits_cli/test_predicting.py"),
    Fault("a tie is called a lead", "reports/rows/verdict.py",
          "    if not tied:\n", "    if tied:\n", "tests/reports/rows"),
    Fault("an interval is drawn from the wrong end", "reports/rows/glance.py",
          "return 100 * (accuracy - self.low)", "return 100 * (self.high - accuracy)",
          "tests/reports/rows"),
    Fault("the timeline does not know its trials", "reports/templates/scripts/charts.js",
          "custom?.length ? custom[0] : custom", "[custom].flat()[0]", "tests/reports/pages"),
    Fault("the end of an axis loses its value", "reports/templates/scripts/parallel.js",
          "low <= 0 ? lowest :", "low <= 0 ? back(least) * 1.0000001 :", "tests/reports/pages"),
    Fault("a selection is lost by following a link", "reports/templates/scripts/selection.js",
          "if (chosen.size) address.write(address.read(), asText());", "", "tests/reports/pages"),
    Fault("an agent may read any file", "digits_cli/agents/tools.py",
          "if not any(place.is_relative_to(folder.resolve()) for folder in (self.runs, *self.folders)):", "if False:",
          "tests/digits_cli/agents"),
    Fault("a job outlives the server that started it", "digits_cli/agents/process.py",
          "    os.kill(os.getpid(), signal.SIGINT)\n", "    return\n", "tests/digits_cli/agents"),
    Fault("logits are taken for probabilities", "digits_core/delivery/onnx_model.py",
          "if len(said) and not (", "if False and not (", f"{CORE}/delivery"),
    Fault("a curve is sent twice", "digits_core/tracking/to_mlflow.py",
          "in list(clock(entry))[sent:]:", "in list(clock(entry)):", f"{CORE}/tracking"),
    Fault("other people are told where your data lie", "digits_core/data/datasets.py",
          "' '.join(Path(place).name.split())", "place", f"{CORE}/data {CORE}/tracking"),
    Fault("a base install needs torch to judge", "digits_core/inference/sealed.py",
          "from digits_core.records import RunRecord\n", "from digits_core.records import RunRecord\nimport torch\n",
          "tests/test_lean.py"),
)  # fmt: skip


def is_caught(copy: Path, fault: Fault) -> bool:
    """Whether a test fails once the fault is there. The copy is left as it was."""
    path = copy / fault.file
    sound = path.read_text(encoding="utf-8")
    assert sound.count(fault.old) == 1, f"{fault.file} has changed: {fault.old!r}"
    path.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
    try:
        return bool(_tests(copy, fault.tests))
    finally:
        path.write_text(sound, encoding="utf-8")


def _tests(copy: Path, places: str) -> int:
    asked = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "-x", "-m", "not slow"]
    # The command finds the copy as well. Nothing compiled is kept: it could be taken for an edit of the same second.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*asked, *places.split()]
    ended = subprocess.run(command, cwd=copy, capture_output=True, text=True, env=environment, check=False)
    failed = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print("    ", *(failed[:1] or ended.stdout.splitlines()[-1:]), flush=True)
    return ended.returncode


def main(words: list[str]) -> int:
    """Returns how many faults no test has caught."""
    chosen = [fault for fault in FAULTS if not words or any(word in fault.what for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "*.egg-info", ".*_cache"))
        for places in sorted({fault.tests for fault in chosen}):
            assert not _tests(copy, places), f"{places}: these must pass before anything is planted"
        missed = []
        for fault in chosen:
            began = time.monotonic()
            if not is_caught(copy, fault):
                missed.append(fault)
            print(
                f"{'MISSED' if fault in missed else 'caught'} in {time.monotonic() - began:.0f} s: {fault.what}",
                flush=True,
            )
    print(f"{len(chosen) - len(missed)} of {len(chosen)} caught")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

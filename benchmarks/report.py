"""Time and size of a report of 100 and of 1,000 MNIST trials; in a browser, time to first paint, to sort and to brush.

The predictions are made up; the images are MNIST's if its files are available. Each report is written three times, each
time by a new process, imports included.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made_up import made_up_sweep
from digits_core.data.datasets import MNIST_FILES
from digits_core.data.files import is_at_hand
from digits_core.environment import hardware_name

WRITE = """
import sys
from pathlib import Path
from digits_core.runs.run import Run
from reports.pages.report import write_report
write_report(Run(Path(sys.argv[1])))
assert "torch" not in sys.modules
"""
SORT = """() => {
  const button = document.querySelector("[data-leaderboard] th:nth-child(NUMBER) button");
  const began = performance.now();
  button.click();
  document.body.offsetHeight;
  return performance.now() - began;
}"""

BRUSH = """(share) => {
  const input = document.querySelector("[data-choices] input[aria-label$=' to']");
  input.value = share * Number(input.placeholder);
  const began = performance.now();
  input.dispatchEvent(new Event("change"));
  document.body.offsetHeight;
  return performance.now() - began;
}"""


def written(folder: Path, repeats: int) -> list[float]:
    """Seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def in_browser(page: Path, chromium: str, repeats: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds to the first contentful paint, to sort by each of the first columns, and to choose trials.

    Layout is included; the charts follow a choice in their own time.
    """
    from playwright.sync_api import sync_playwright

    paints, sorts, brushes = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(repeats):
            opened = browser.new_page()
            opened.goto(page.as_uri())
            opened.wait_for_selector("html[data-drawn]", timeout=120_000)
            paints.append(opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            sorts += [opened.evaluate(SORT.replace("NUMBER", str(column))) for column in range(1, 9)]
            brushes += [opened.evaluate(BRUSH, share) for share in (0.2, 0.5, 0.8, 0.3)]
            opened.close()
        browser.close()
    return paints, sorts, brushes


def main() -> None:
    """Make up sweeps, write their reports and open them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    dataset = "mnist" if all(map(is_at_hand, MNIST_FILES)) else "sklearn-digits"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"{hardware_name()}; {dataset}, 5,000 validation images, n = {asked.repeats}")
    for trials in asked.trials:
        with tempfile.TemporaryDirectory() as folder:
            store = made_up_sweep(Path(folder), trials, 5_000, dataset)
            seconds = written(store.folder, asked.repeats)
            page = store.folder / "report.html"
            text = f"{min(seconds):.1f} to {max(seconds):.1f} s, {page.stat().st_size / 1e6:.2f} MB"
            if chromium:
                paints, sorts, brushes = in_browser(page, chromium, asked.repeats)
                text += f"; first paint at most {max(paints):.0f} ms"
                text += f", sorting {max(sorts):.0f} ms, choosing {max(brushes):.0f} ms"
            print(f"{trials} trials: {text}")


if __name__ == "__main__":
    main()

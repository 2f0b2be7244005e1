"""The page in a real browser: opened from disk with the network blocked."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

from benchmarks.made_up import made_up_sweep
from digits_core.inference.ensembling import build_ensemble
from digits_core.runs.ensemble_records import EnsembleConfig
from digits_core.runs.run import Run
from digits_core.runs.writer import RunWriter
from reports.charts.plotly_library import PlotlyMode
from reports.pages.report import write_report
from reports.pages.versus import write_versus
from reports.rows.tables import ReportData, collect
from reports.rows.views import View
from sweeps.finishing.insight import keep_inside
from tests.helpers.pages import CHROMIUM
from tests.helpers.runs import HOSTILE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


class Opened:
    """A page, with its network requests and console messages."""

    def __init__(self, page: Page, path: Path, fragment: str = "") -> None:
        self.page, self.requests, self.console = page, [], []
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.route("**/*", self._only_from_disk)
        page.goto(path.as_uri() + fragment)

    def _only_from_disk(self, route: Route) -> None:
        self.requests.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()

    def drawn(self) -> "Opened":
        self.page.wait_for_selector("html[data-drawn]", timeout=60_000)
        return self


Open = Callable[..., Opened]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    contexts = []

    def open_page(path: Path, fragment: str = "", **settings: object) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})  # type: ignore[arg-type]
        contexts.append(context)
        return Opened(context.new_page(), path, fragment)

    yield open_page
    for context in contexts:
        context.close()


@dataclass(frozen=True)
class Written:
    """A sweep with everything that a page can have, its page, and what is on it."""

    store: Run
    page: Path
    data: ReportData

    def view(self, key: str) -> View:
        return next(view for view in self.data.answered.views if view.key == key)


@pytest.fixture(scope="module")
def full(_trained_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Written once; the tests do not change it."""
    folder = tmp_path_factory.mktemp("browser") / "tiny"
    shutil.copytree(_trained_sweep, folder)
    store = Run(folder)
    build_ensemble(store, EnsembleConfig(top=3))
    keep_inside(store)
    return Written(store=store, page=write_report(store), data=collect(store))


@pytest.fixture(scope="module")
def versus(full: Written) -> Path:
    """The same sweep beside another on the same split, which lacks its best trial."""
    other = Run(full.store.folder.with_name("other"))
    shutil.copytree(full.store.folder, other.folder)
    RunWriter(other.folder).write_header(replace(full.store.header, name="other"))
    (other.folder / "trials" / f"{full.store.ranked[0].trial:05d}" / "record.json").unlink()
    (other.folder / "ensemble.json").unlink()
    _, path = write_versus([full.store, other], full.store.folder.with_name("versus.html"))
    return path


def test_all_charts_are_drawn_without_requests_or_console_messages(full: Written, opened: Open) -> None:
    found = opened(full.page).drawn()
    assert found.console == []
    assert found.requests == [full.page.as_uri()]
    charts = found.page.locator("[data-figure]")
    assert found.page.locator("[data-figure] .main-svg").count() >= charts.count() >= 9
    points = found.page.locator("[data-figure=figure-history] .points path.point").count()
    assert points == 4
    painted, drawn = found.page.evaluate(
        "[performance.getEntriesByName('first-contentful-paint')[0].startTime, performance.now()]"
    )
    assert 0 < painted < drawn


def test_the_leaderboard_sorts_by_mouse_and_keyboard(full: Written, opened: Open) -> None:
    data = full.data
    page = opened(full.page).page

    def trials() -> list[int]:
        return [int(text) for text in page.locator("[data-leaderboard] tbody tr td:nth-child(2)").all_inner_texts()]

    assert trials() == [row.record.trial for row in data.leaderboard]
    head = page.locator("[data-leaderboard] th", has_text="parameters")
    head.locator("button").click()
    by_size = sorted(data.leaderboard, key=lambda row: row.record.parameter_count)
    assert [row.record.parameter_count for row in by_size] == [
        data.leaderboard[[r.record.trial for r in data.leaderboard].index(trial)].record.parameter_count
        for trial in trials()
    ]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert trials()[0] == by_size[-1].record.trial
    name = page.locator("[data-leaderboard] th", has_text="trial").first
    name.locator("button").focus()
    page.keyboard.press("Space")
    assert trials() == [0, 1, 2, 3]
    assert (head.get_attribute("aria-sort"), name.get_attribute("aria-sort")) == (None, "ascending")


def test_the_leaderboard_filters(full: Written, opened: Open) -> None:
    page = opened(full.page).page
    rows = page.locator("[data-leaderboard] tbody tr:visible")
    page.locator("[data-filter]").fill("mlp")
    assert rows.count() == 1
    assert page.locator("[data-count]").inner_text() == "1 of 4 rows"
    page.locator("[data-filter]").fill("cnn, finished")
    assert rows.count() == 2
    page.locator("[data-filter]").fill("nothing like it")
    assert rows.count() == 0
    page.locator("[data-filter]").fill("")
    page.locator("[data-tied]").check()
    assert rows.count() == page.locator("[data-leaderboard] tbody tr.chosen").count() > 0


def test_the_leaderboard_can_be_saved(full: Written, opened: Open) -> None:
    found = opened(full.page)
    with found.page.expect_download() as csv:
        found.page.locator("[data-download=csv]").click()
    assert csv.value.suggested_filename == "tiny-leaderboard.csv"
    ours = (full.store.folder / "leaderboard.csv").read_text().splitlines()
    theirs = csv.value.path().read_text().splitlines()
    assert [line.split(",")[:4] for line in theirs] == [line.split(",")[:4] for line in ours]
    with found.page.expect_download() as document:
        found.page.locator("[data-download=json]").click()
    assert json.loads(document.value.path().read_text()) == json.loads(json.dumps(full.data.board_document))
    assert found.console == []


def test_a_cell_shows_exactly_its_images(full: Written, opened: Open) -> None:
    view = full.data.answered.featured[0]
    page = opened(full.page).page
    wrong = [(i, j) for i in range(10) for j in range(10) if i != j and view.confusion[i, j]]
    true_digit, predicted = wrong[0]
    page.locator(
        f"[data-matrices] > div:first-child button[title^='true {true_digit}, predicted {predicted}:']"
    ).click()
    titles = page.locator("[data-gallery] li strong").all_inner_texts()
    assert len(titles) == view.confusion[true_digit, predicted]
    assert set(titles) == {f"{true_digit} read as {predicted}"}
    assert page.evaluate("location.hash") == f"#cell={true_digit}-{predicted}"
    page.locator("[data-gallery-true]").select_option("")
    page.locator("[data-gallery-predicted]").select_option("")
    assert page.locator("[data-gallery] li").count() == view.result.score.error_count


def test_matrices_show_any_model_percent_and_difference(full: Written, opened: Open) -> None:
    page = opened(full.page).page

    def cells(side: int) -> list[list[str]]:
        rows = page.locator(f"[data-matrices] > div:nth-child({side}) tbody tr")
        return [row.locator("td").all_inner_texts() for row in rows.all()]

    for side, key in ((1, "trial-3"), (2, "trial-2")):
        page.locator(f"[data-matrices] > div:nth-child({side}) select").select_option(key)
        assert cells(side) == [[str(count) for count in row] for row in full.view(key).confusion.tolist()]
    page.locator("[data-difference]").check()
    assert page.locator("[data-percent]").is_enabled()
    difference = full.view("trial-3").confusion - full.view("trial-2").confusion
    assert cells(2) == [[f"{count:+d}" if count > 0 else str(count) for count in row] for row in difference.tolist()]
    page.locator("[data-percent]").check()
    row = full.view("trial-3").confusion[4]
    shares = [float(text) for text in cells(1)[4]]
    assert shares == pytest.approx((100 * row / row.sum()).tolist(), abs=0.051)
    page.locator("[data-matrices] > div:nth-child(2) select").select_option("ensemble")
    assert "different images" in page.locator("[data-matrices] > div:nth-child(2) p").inner_text()


def test_a_deep_link_leads_back(full: Written, opened: Open) -> None:
    true_digit, predicted = next(
        (i, j) for i in range(10) for j in range(10) if i != j and full.view("trial-3").confusion[i, j]
    )
    found = opened(full.page, f"#trial=3&cell={true_digit}-{predicted}")
    page = found.page
    assert page.locator("[data-gallery-view]").input_value() == "trial-3"
    assert page.locator("[data-gallery] li").count() == min(full.view("trial-3").confusion[true_digit, predicted], 48)
    assert page.locator("tr.asked").get_attribute("id") == "trial=3"
    page.evaluate("location.hash = '#trial=2'")
    page.wait_for_function("document.querySelector('tr.asked').id === 'trial=2'")
    assert page.locator("[data-matrices] > div:first-child select").input_value() == "trial-2"
    page.locator("[data-matrices] > div:first-child select").select_option("trial-2-test")
    cell = page.locator("[data-matrices] > div:first-child .cell").first
    cell.click()
    assert page.evaluate("location.hash").startswith("#view=trial-2-test&cell=")  # not trial 2 on validation
    again = opened(full.page, page.evaluate("location.hash")).page
    assert again.locator("[data-gallery-view]").input_value() == "trial-2-test"
    assert again.locator("[data-gallery] li").count() == page.locator("[data-gallery] li").count() > 0
    page.evaluate("location.hash = '#trial=99'")
    page.wait_for_function("document.querySelector('[data-asked]').innerText.includes('no trial 99')")
    page.evaluate("location.hash = '#trial=1'")
    page.wait_for_selector("[data-asked] dl")
    told = page.locator("[data-asked]").inner_text().replace("\n", " ")
    row = next(row for row in full.data.board_document["rows"] if row["trial"] == 1)
    assert "digits replay tiny --trial 1" in told
    assert f"NLL {row['validation']['nll']:.4f}, Brier {row['validation']['brier']:.4f}" in told


def test_a_link_that_leads_nowhere_harms_nothing(full: Written, opened: Open) -> None:
    odd = opened(full.page, "#%E0%A4%A")
    for fragment in ("#trial=99", "#trial=</script>", "#cell=12-4", "#view=nothing", "#%E0%A4%A", "#trial="):
        odd.page.evaluate("fragment => { location.hash = fragment }", fragment)
    odd.page.evaluate("new Promise(done => setTimeout(done, 0))")  # after the events
    assert odd.console == []


def test_without_javascript_tables_and_pictures_are_there(full: Written, opened: Open) -> None:
    data = full.data
    page = opened(full.page, java_script_enabled=False).page
    assert page.locator("[data-leaderboard] tbody tr").count() == len(data.leaderboard)
    assert page.locator(".confusion tbody tr").count() == 10 * len(data.answered.featured)
    assert page.locator("[data-tools]").first.is_hidden()
    picture = page.locator(".mistakes .digit").first
    assert picture.bounding_box() is not None
    assert "The charts need JavaScript" in page.content()
    assert page.locator(".charted").first.is_hidden()


def accessible_in_light_and_dark(page: Page) -> None:
    """Fails if axe-core finds a serious barrier. Colours are set by the style sheet, so that both fit one drawing."""
    for scheme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 27)")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function("colour => getComputedStyle(document.body).backgroundColor === colour", arg=background)
        barriers = Axe().run(page).response["violations"]
        serious = [(b["id"], b["nodes"][0]["html"][:200]) for b in barriers if b["impact"] in ("serious", "critical")]
        assert serious == [], scheme


def test_the_page_is_accessible_and_fits_phones_and_large_screens(full: Written, opened: Open) -> None:
    page = opened(full.page).drawn().page
    accessible_in_light_and_dark(page)
    for width in (390, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)  # charts follow


def test_runs_side_by_side(versus: Path, opened: Open) -> None:
    found = opened(versus).drawn()
    assert (found.console, found.requests) == ([], [versus.as_uri()])
    assert found.page.locator(".scatterlayer .trace").count() == 4
    accessible_in_light_and_dark(found.page)


def test_hostile_names_and_errors_stay_text(hostile_store: Run, opened: Open, tmp_path: Path) -> None:
    found = opened(write_report(hostile_store)).drawn()
    assert found.console == []
    assert found.page.locator("img[onerror]").count() == 0
    assert HOSTILE in found.page.locator("details", has_text="RuntimeError").first.inner_text()
    _, path = write_versus([hostile_store, hostile_store], tmp_path / "versus.html")
    versus = opened(path).drawn()
    assert versus.console == []
    assert versus.page.locator("img[onerror]").count() == 0


@pytest.mark.parametrize("mode", ["directory"])
def test_the_library_beside_the_page_is_found(sweep_store: Run, opened: Open, tmp_path: Path, mode: PlotlyMode) -> None:
    path = write_report(sweep_store, tmp_path / "out" / "page.html", mode)
    found = opened(path).drawn()
    assert found.console == []
    assert found.requests == [path.as_uri(), path.with_name("plotly.min.js").as_uri()]


def test_a_long_leaderboard_shows_its_first_hundred_rows_until_asked(opened: Open, tmp_path: Path) -> None:
    store = made_up_sweep(tmp_path, 130, 60)
    path = write_report(store)
    last = store.ranked[-1].trial
    page = opened(path).page
    rows = page.locator("[data-leaderboard] tbody tr")
    assert rows.count() == 100
    page.locator("[data-leaderboard] th", has_text="val. NLL").locator("button").click()
    page.locator("[data-leaderboard] th", has_text="val. NLL").locator("button").click()
    assert rows.first.get_attribute("id") == f"trial={last}"  # all rows are sorted, not only the visible ones
    page.locator("[data-filter]").fill("cnn")
    of_cnn = sum("cnn" in record.recipe.model.name for record in store.records)
    assert page.locator("[data-count]").inner_text() == f"{of_cnn} of 130 rows"
    page.locator("[data-filter]").fill("")
    page.locator("[data-more]").click()
    assert rows.count() == 130
    linked = opened(path, f"#trial={last}").page
    assert linked.locator("[data-leaderboard] tbody tr").count() == 101
    assert linked.locator("tr.asked").get_attribute("id") == f"trial={last}"
    assert opened(path, java_script_enabled=False).page.locator("[data-leaderboard] tbody tr").count() == 130

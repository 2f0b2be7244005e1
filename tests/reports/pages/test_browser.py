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
    assert page.locator("[data-panel]").is_hidden()  # it would lie over the images that were asked for
    page.evaluate("location.hash = '#trial=2'")
    page.wait_for_function("document.querySelector('tr.asked').id === 'trial=2'")
    assert page.locator("[data-matrices] > div:first-child select").input_value() == "trial-2"
    page.keyboard.press("Escape")
    page.locator("[data-matrices] > div:first-child select").select_option("trial-2-test")
    cell = page.locator("[data-matrices] > div:first-child .cell").first
    cell.click()
    assert page.evaluate("location.hash").startswith("#view=trial-2-test&cell=")  # not trial 2 on validation
    again = opened(full.page, page.evaluate("location.hash")).page
    assert again.locator("[data-gallery-view]").input_value() == "trial-2-test"
    assert again.locator("[data-gallery] li").count() == page.locator("[data-gallery] li").count() > 0


def test_a_trial_has_a_panel(full: Written, opened: Open) -> None:
    rows = {row["trial"]: row for row in full.data.board_document["rows"]}
    order = [row.record.trial for row in full.data.leaderboard]
    found = opened(full.page)
    page, panel = found.page, found.page.locator("[data-panel]")

    def told() -> str:
        return " ".join(panel.inner_text().split())

    link = page.locator("[data-leaderboard] a").first
    link.press("Enter")
    panel.wait_for(state="visible")
    leader = rows[order[0]]
    assert told().startswith(f"Trial {order[0]} \u2039 \u203a \u00d7 Rank 1, the leader.")
    assert leader["reproduce"] in told()
    assert f"digits export --runs {full.store.folder.parent} --model tiny/{order[0]}" in told()
    assert f"--runs {full.store.folder.parent} --top 1" in told()
    assert f"NLL {leader['validation']['nll']:.4f}, Brier {leader['validation']['brier']:.4f}" in told()
    bold = {
        item.locator("dt").inner_text(): item.locator("b").inner_text()
        for item in panel.locator(".recipe div:has(b)").all()
    }
    assert bold == {"model.width": "8", "model.name": "mlp", "training.epochs": "3"}
    assert panel.locator(".mini td.wrong").count() == sum(
        bool(full.view(f"trial-{order[0]}").confusion[i, j]) for i in range(10) for j in range(10) if i != j
    )

    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"document.querySelector('#panel-title').textContent === 'Trial {order[1]}'")
    mine, other = (full.view(f"trial-{trial}").mistakes.images.tolist() for trial in (order[1], order[2]))
    panel.locator("select").select_option(f"trial-{order[2]}")
    only = [image for image in mine if image not in other]
    assert f"{len(only)} that trial {order[2]} gets right; both miss {len(mine) - len(only)}." in told()
    assert panel.locator(".mistakes li").count() == min(len(only), 48)
    page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert page.evaluate("location.hash") == ""
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"#trial={order[0]}"

    page.evaluate("location.hash = '#trial=3'")
    page.wait_for_function("document.querySelector('#panel-title')?.textContent === 'Trial 3'")
    page.go_back()
    page.wait_for_function("document.querySelector('[data-panel]').hidden")
    page.evaluate("location.hash = '#trial=4'")  # it failed
    panel.wait_for(state="visible")
    assert f"It failed: RuntimeError: {HOSTILE}" in told()
    assert "Traceback" in panel.locator("pre").inner_text()
    page.evaluate("location.hash = '#trial=99'")
    page.wait_for_function("document.querySelector('[data-panel]').innerText.includes('no trial 99')")
    page.locator("[data-leaderboard] tbody tr").nth(2).locator("td").nth(3).click()  # anywhere in the row
    page.wait_for_function(f"document.querySelector('#panel-title').textContent === 'Trial {order[2]}'")
    drawn = found.drawn().page
    click = "{points: [{customdata: Float64Array.of(3, 0.5)}]}"  # as Plotly reports a bar of the timeline
    drawn.evaluate(f"document.querySelector('[data-figure=figure-lanes]').emit('plotly_click', {click})")
    drawn.wait_for_function("document.querySelector('#panel-title').textContent === 'Trial 3'")
    assert found.console == []


@pytest.fixture(scope="module")
def long_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A sweep of more trials than the table shows at first, searched, and its page."""
    store = made_up_sweep(tmp_path_factory.mktemp("long"), 130, 60)
    return store, write_report(store)


def test_a_drag_along_an_axis_chooses_trials_everywhere(long_sweep: tuple[Run, Path], opened: Open) -> None:
    store, path = long_sweep
    found = opened(path).drawn()
    page, bar = found.page, found.page.locator("[data-selection]")
    rates = {record.trial: record.recipe.optimizer.learning_rate for record in store.records}
    axis = page.locator(".axis-of-field", has=page.locator("title", has_text="optimizer.learning_rate"))
    axis.scroll_into_view_if_needed()
    grip = axis.locator(".grip").bounding_box()
    assert grip is not None
    x, top, length = grip["x"] + 16, grip["y"] + 8, grip["height"] - 16
    page.mouse.move(x, top + 0.25 * length)
    page.mouse.down()
    page.mouse.move(x, top + 0.6 * length)
    page.mouse.move(x, top + 0.75 * length)
    page.mouse.up()
    low, high = (float(end) for end in page.evaluate("location.hash").split(":")[1].split("~"))
    assert min(rates.values()) < low < high < max(rates.values())
    chosen = {trial for trial, rate in rates.items() if low <= rate <= high}
    assert 0 < len(chosen) < 130
    assert bar.inner_text().startswith(f"{len(chosen)} of 130 trials learning rate ")
    link, said = page.evaluate("location.hash"), bar.inner_text()
    page.locator("[data-more]").evaluate("button => button.hidden || button.click()")
    ids = page.locator("[data-leaderboard] tbody tr").evaluate_all("rows => rows.map((row) => row.id)")
    assert {int(one.removeprefix("trial=")) for one in ids} == chosen
    assert page.locator(".line:not(.out)").count() == len(chosen)
    for chart in ("history", "lanes"):
        page.wait_for_function(
            "([name, count]) => document.querySelector(`[data-figure=figure-${name}]`)._fullData"
            ".reduce((sum, trace) => sum + (trace.selectedpoints?.length ?? 0), 0) === count",
            arg=[chart, len(chosen)],
        )
    page.locator("[data-selection] button").click()
    nll = page.locator(".axis-of-field").last.locator(".grip").bounding_box()
    assert nll is not None
    page.mouse.move(nll["x"] + 16, nll["y"] + nll["height"] / 2)
    page.mouse.down()
    page.mouse.move(nll["x"] + 16, nll["y"] + nll["height"])
    page.mouse.up()
    first = page.locator("[data-leaderboard] tbody tr").first
    assert first.get_attribute("id") == f"trial={store.ranked[0].trial}"  # the very lowest is within the brush

    linked = opened(path, link).drawn().page
    assert linked.locator("[data-selection]").inner_text() == said
    linked.locator("nav a[href='#curves']").click()  # another link keeps the selection
    linked.wait_for_function("location.hash.startsWith('#curves&where=optimizer.learning_rate')")
    section = opened(path, linked.evaluate("location.hash")).page  # and leads to its section
    assert section.locator("#curves").evaluate("head => head.getBoundingClientRect().top") < 900
    linked.locator("[data-selection] button").click()
    assert linked.locator("[data-selection]").is_hidden()
    assert linked.locator(".line.out").count() == 0
    assert "where" not in linked.evaluate("location.hash")
    assert found.console == []


def test_values_are_chosen_from_the_keyboard(long_sweep: tuple[Run, Path], opened: Open) -> None:
    store, path = long_sweep
    found = opened(path, "#where=nothing:1~2;model.name:none;optimizer.learning_rate:a~b;%E0%A4%A:1")
    page, bar = found.page, found.page.locator("[data-selection]")
    assert bar.is_hidden()  # nothing in that link is a field with such a value
    page.keyboard.press("f")
    page.locator("[data-choices] input[value=lenet]").check()
    of_lenet = sum(record.recipe.model.name == "lenet" for record in store.records)
    assert bar.inner_text().startswith(f"{of_lenet} of 130 trials model lenet")
    page.locator("[data-choices] input[aria-label='model.dropout to']").fill("0.2")
    page.locator("[data-choices] input[aria-label='model.dropout to']").press("Tab")
    both = sum(record.recipe.model.name == "lenet" and record.recipe.model.dropout <= 0.2 for record in store.records)
    assert 0 < both < of_lenet
    assert bar.inner_text().startswith(f"{both} of 130 trials")
    page.locator("h1").click()
    page.keyboard.press("r")
    assert bar.is_hidden()
    page.keyboard.press("?")
    assert page.locator("[data-keys-dialog]").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("[data-keys-dialog]").is_hidden()
    assert found.console == []


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
    assert page.locator(".confusion:not(.mini) tbody tr").count() == 10 * len(data.answered.featured)
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
    page.locator("[data-leaderboard] a").first.click()
    accessible_in_light_and_dark(page)  # with a trial's panel
    page.keyboard.press("Escape")
    for width, height in ((390, 844), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        assert page.locator(".glance").evaluate("glance => glance.getBoundingClientRect().bottom") <= height
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1047})  # what the margins leave of A4, at 96 pixels an inch
    assert page.locator(".again").evaluate("line => line.getBoundingClientRect().bottom + scrollY") <= 1047
    page.emulate_media(media="screen")
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


def test_a_long_leaderboard_shows_its_first_hundred_rows_until_asked(
    long_sweep: tuple[Run, Path], opened: Open
) -> None:
    store, path = long_sweep
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

"""The dashboard in a real browser, over the bundled logs: what a reader sees, clicks and hears."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pytest

from daemon.cli import main
from state.paths import StatePaths
from tests.daemon.conftest import Host, gptme_lines

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; `apt install chromium`")

WINDOWS = ("24h", "7d", "30d", "90d", "all")
DIMENSIONS = ("repo", "model", "task", "session", "agent", "provider", "branch", "host")

#: Contrast of texts that a reader needs (WCAG AA), computed in the page, over every element with text of its own.
CONTRAST = """
() => {
  const parse = (text) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const of = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * of[0] + 0.7152 * of[1] + 0.0722 * of[2];
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, [disabled], .skip")) continue;
    const [one, two] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    if ((one + 0.05) / (two + 0.05) < 4.5) bad.push(`${node.tagName} ${node.className} ${node.innerText.slice(0, 30)}`);
  }
  return bad;
}
"""

#: What a screen reader calls an element.
NAMED = """
(node) => node.ariaLabel || document.getElementById(node.getAttribute("aria-labelledby"))?.innerText
    || node.closest("label")?.innerText || node.querySelector("legend")?.innerText || node.textContent
"""


@dataclass(frozen=True)
class Served:
    """A server of the demo, and the address that it printed."""

    address: str
    state: StatePaths

    @property
    def base(self) -> str:
        return self.address.partition("#")[0]

    def said(self, *words: str) -> Any:
        """Return what a command prints with `--json`."""
        return json.loads(self.printed(*words, "--json"))

    def printed(self, *words: str) -> str:
        """Return what a command prints."""
        return subprocess.run(
            [sys.executable, "-m", "daemon.command", *words, "--state-dir", str(self.state.root)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout

    def asked(self, path: str) -> str:
        """Return what the server answers to who knows the token."""
        token = {"Authorization": f"Bearer {self.address.partition('=')[2]}"}
        with urlopen(Request(self.base.rstrip("/") + path, headers=token)) as answer:  # noqa: S310 - our own
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run the one command that a newcomer is told."""
    place = tmp_path_factory.mktemp("demo")
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.command", "demo", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        printed = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/#token=[\w-]+", printed)):
            line = process.stdout.readline()
            assert line, f"no address was printed: {printed}"
            printed += line
        (state,) = place.glob("tallystick-demo-*/state")
        yield Served(found[0], StatePaths(state))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as runs:
        # As root there is no sandbox to be had; the page is ours.
        found = runs.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Page:
    """One tab, which notes what goes wrong in it and where it asks."""

    def __init__(self, tab: Any, server: Served) -> None:
        self.tab, self.server = tab, server
        self.wrong: list[str] = []
        self.asked: list[str] = []
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("console", self._said)
        tab.on("request", lambda request: self.asked.append(request.url))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.wrong.append(message.text)

    def open(self, query: str = "?window=all") -> "Page":
        self.tab.goto(f"{self.server.base}{query}#token={self.server.address.partition('=')[2]}")
        return self.settled()

    def settled(self) -> "Page":
        self.tab.wait_for_selector("body:not([aria-busy]) [data-testid=verdict]:not([data-state=loading])")
        return self

    def of(self, name: str) -> Any:
        return self.tab.get_by_test_id(name)

    def click(self, name: str) -> "Page":
        self.of(name).first.click()
        return self.settled()

    def number(self, selector: str) -> int:
        return int(self.tab.locator(selector).count())

    def query(self) -> str:
        return str(self.tab.evaluate("location.search"))

    def pressed(self, name: str) -> bool:
        return bool(self.of(name).first.get_attribute("aria-pressed") == "true")


@pytest.fixture
def page(browser: Any, server: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield (found := Page(context.new_page(), server))
    context.close()
    assert [] == found.wrong
    assert [] == [each for each in found.asked if not each.startswith(server.base)]


def test_page_opens_by_the_printed_address_and_says_what_health_says(page: Page) -> None:
    """
    The verdict is the very line of `tallystick health`; the token leaves the address at once.
    """
    page.open()

    health = page.server.said("health")
    assert health["line"].partition("|")[0] in page.of("verdict").inner_text()
    assert health["state"] == page.of("verdict").get_attribute("data-state")
    assert "token" not in page.tab.url


def test_totals_are_those_of_the_command_each_class_for_itself(page: Page) -> None:
    """
    Four cards and no sum; those that are not drawn say so and stay.
    """
    page.open()
    said = page.server.said("usage", "--include", "estimated,superseded,allocated")["totals"]

    for name in ("measured", "estimated", "superseded", "allocated"):
        card = page.of(f"card-{name}")
        total = said[name]["total_tokens"]
        assert (None if total is None else str(total)) == card.get_attribute("data-total")
        assert ("1" if name == "measured" else "0") == card.get_attribute("data-on")


def test_every_surface_says_the_same_figures(page: Page) -> None:
    """
    Command, API, page, metrics, copies, the shape of another tool and SQL: the same tokens and money for each agent.
    """
    page.open("?window=all&by=agent")
    server = page.server
    said = server.said("usage", "--by", "agent")
    expected = {row["agent"]: (row["total_tokens"], row["cost_usd_micros"]) for row in said["rows"]}
    assert 3 == len(expected)

    shown = {
        row.get_attribute("data-key"): int(
            (row.locator("td span[title]").first.get_attribute("title") or "").replace(",", "")
        )
        for row in page.of("row").all()
    }
    assert {agent: tokens for agent, (tokens, _) in expected.items()} == shown
    total, cost = (sum(each[at] for each in expected.values()) for at in (0, 1))
    assert str(total) == page.of("card-measured").get_attribute("data-total")
    assert f"${cost / 1e6:.2f}" in page.of("cost").inner_text()

    assert server.printed("usage", "--by", "agent", "--json") == server.asked("/api/v1/usage?group_by=agent")
    rows = server.said(
        "sql", "SELECT agent, sum(total_tokens) AS n, sum(cost_usd_micros) AS c FROM costs GROUP BY agent"
    )
    assert expected == {row["agent"]: (row["n"], row["c"]) for row in rows["rows"]}

    copied = list(csv.DictReader(server.printed("export", "csv", "--by", "agent", "--no-record").splitlines()))
    assert expected == {row["agent"]: (int(row["total_tokens"]), int(row["cost_usd_micros"])) for row in copied}
    whole = json.loads(server.printed("export", "json", "--by", "agent", "--no-record"))
    assert expected == {row["agent"]: (row["total_tokens"], row["cost_usd_micros"]) for row in whole["rows"]}
    parquet = server.state.root / "figures.parquet"
    server.printed("export", "parquet", "--by", "agent", "--no-record", "--out", str(parquet))
    with duckdb.connect() as connection:
        kept = connection.execute(f"SELECT agent, total_tokens, cost_usd_micros FROM '{parquet}'").fetchall()  # noqa: S608 - our file
    assert expected == {agent: tuple(figures) for agent, *figures in kept}

    for metrics in (server.printed("metrics"), server.asked("/metrics")):
        summed: dict[str, float] = {}
        for line in metrics.splitlines():
            if match := re.fullmatch(
                r'tallystick_evidence_tokens\{.*class="measured".*source="(\w+)"\} ([\d.e+]+)', line
            ):
                summed[match[1]] = summed.get(match[1], 0) + float(match[2])
        assert shown == summed
    for agent in ("claude_code", "codex"):
        peer = json.loads(server.printed("export", "ccusage", "daily", "--agent", agent, "--no-record"))
        assert shown[agent] == peer["totals"]["totalTokens"]


def test_estimated_is_drawn_only_when_asked_for_and_beside_measured(page: Page) -> None:
    """
    T07: what was guessed is never in what was measured, in no state of the page.
    """
    page.open()
    measured = page.number("[data-of=measured]")
    assert (True, 0) == (measured > 0, page.number("[data-of=estimated]"))

    page.click("class-estimated")
    assert (measured, 1) == (page.number("[data-of=measured]"), page.number("[data-of=estimated]"))
    assert "estimated=1" in page.query()

    page.click("class-estimated")
    assert (measured, 0) == (page.number("[data-of=measured]"), page.number("[data-of=estimated]"))
    assert page.of("class-measured").first.is_disabled()


def test_superseded_is_an_outline(page: Page) -> None:
    """
    It is shown beside the bars and in none of them.
    """
    page.open()
    drawn = page.number("[data-of=measured]")

    page.click("class-superseded")

    assert drawn == page.number("[data-of=measured]")
    assert page.number("rect.outline") > 0
    assert "none" == page.tab.locator("rect.outline").first.evaluate("node => getComputedStyle(node).fill")


def test_allocated_is_a_view_of_its_own(page: Page) -> None:
    """
    The same tokens by task: no measured bar stands beside them.
    """
    page.open().click("view-tasks")

    assert (0, True) == (page.number("[data-of=measured]"), page.number("[data-of=allocated]") > 0)
    assert {"ORCHARD-7", "LIGHTHOUSE-3"} <= {row.get_attribute("data-key") for row in page.of("row").all()}
    assert ("0", "1") == tuple(page.of(f"card-{name}").get_attribute("data-on") for name in ("measured", "allocated"))


def test_a_day_of_work_without_a_token_is_framed(page: Page) -> None:
    """
    A flatline is no idle day: it has its frame, its number and its words.
    """
    page.open()

    assert ["2026-11-07"] == [each.get_attribute("data-day") for each in page.tab.locator("[data-gap]").all()]
    assert page.number("rect.flatline") == 1
    assert "1" == page.of("q-flatlines").locator("dd").inner_text()
    assert "flatline" in (page.tab.locator("[data-gap]").get_attribute("aria-label") or "")


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_in_the_address_and_survives_a_reload(page: Page, window: str) -> None:
    """
    A link says what its sender saw.
    """
    page.open("?window=7d" if window != "7d" else "?window=all").click(f"window-{window}")
    assert page.pressed(f"window-{window}")

    page.tab.reload()
    page.settled()

    assert page.pressed(f"window-{window}")
    assert 1 == sum(page.pressed(f"window-{each}") for each in WINDOWS)


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_dimension_is_the_command_s(page: Page, by: str) -> None:
    """
    The rows are those of `usage --by`, each with its bar of evidence.
    """
    page.open().click(f"by-{by}")
    page.tab.wait_for_selector(f"[data-testid=by-{by}][aria-pressed=true]")

    said = page.server.said("usage", "--by", by)
    expected = {row[by] or "" for row in said["rows"]}
    assert expected == {row.get_attribute("data-key") for row in page.of("row").all()}
    assert page.number("#table .evidence") == len(expected)


@pytest.mark.parametrize(("measure", "field"), [("uncached", "total_without_cache_read_tokens"), ("calls", "calls")])
def test_what_is_counted_can_be_chosen(page: Page, measure: str, field: str) -> None:
    page.open("?window=all&by=agent")
    page.of("measure").select_option(measure)
    page.settled()

    page.tab.wait_for_function(f"location.search.includes('measure={measure}')")
    expected = {row["agent"]: row[field] for row in page.server.said("usage", "--by", "agent")["rows"]}
    page.settled()
    shown = {
        row.get_attribute("data-key"): int(
            (row.locator("td span[title]").first.get_attribute("title") or "").replace(",", "")
        )
        for row in page.of("row").all()
    }
    assert expected == shown


@pytest.mark.parametrize("series", ["model", "repo"])
def test_days_can_be_stacked_otherwise(page: Page, series: str) -> None:
    page.open()
    page.of("series").select_option(series)
    page.settled()
    page.tab.wait_for_function(f"location.search.includes('series={series}')")
    page.settled()

    names = {row[series] or "(none)" for row in page.server.said("usage", "--by", series)["rows"]}
    assert {each.get_attribute("data-name") for each in page.tab.locator("[data-of=measured]").all()} <= names


def test_a_filter_is_added_shown_and_removed(page: Page) -> None:
    """
    A filter holds for bars, cards and tables alike.
    """
    page.open("?window=all&by=agent")
    page.tab.locator("#table").get_by_role("button", name="codex").click()
    page.tab.wait_for_selector("[data-testid=filter]")
    page.settled()

    only = next(row for row in page.server.said("usage", "--by", "agent")["rows"] if row["agent"] == "codex")
    assert str(only["total_tokens"]) == page.of("card-measured").get_attribute("data-total")
    assert ["codex"] == [row.get_attribute("data-key") for row in page.of("row").all()]
    assert "agent=codex" in page.query()

    page.click("filter")
    assert 3 == len(page.of("row").all())


def test_a_bar_leads_to_the_bytes(page: Page) -> None:
    """
    Day, session, call, then file, byte range and parser; back by the browser's own button.
    """
    page.open()
    page.tab.locator("[data-day='2026-11-01']").click()
    page.tab.wait_for_selector("[data-testid=session]")
    page.of("session").filter(has_text="5e550001").click()
    page.tab.wait_for_selector("[data-testid=call]")
    page.of("call").filter(has_text="msg_demo_graft").click()
    page.tab.wait_for_selector("[data-testid=evidence-row]")

    explained = page.server.said("explain", "msg_demo_graft")["rows"][0]["evidence"][0]
    first = page.of("evidence-row").first
    assert explained["source"] == first.get_by_test_id("file").inner_text()
    assert (
        f"{explained['offset_bytes']:,} + {explained['length_bytes']:,}" == first.get_by_test_id("range").inner_text()
    )
    assert f"{explained['parser']} v{explained['parser_version']}" == first.get_by_test_id("parser").inner_text()

    page.tab.go_back()
    page.tab.wait_for_selector("[data-testid=call]")
    page.tab.locator("#drill-close").click()
    page.settled()
    assert page.of("drill").is_hidden()


def test_keys_alone_reach_the_evidence(page: Page) -> None:
    """
    Arrows go from day to day, Enter opens one, Escape closes it.
    """
    page.open()
    page.tab.locator("[data-testid=day][tabindex='0']").focus()
    page.tab.keyboard.press("Home")
    assert "2026-11-01" == page.tab.evaluate("document.activeElement.dataset.day")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector("[data-testid=session]")
    assert "day=2026-11-02" in page.query()

    page.tab.keyboard.press("Escape")
    page.settled()
    assert page.of("drill").is_hidden()


def test_what_is_read_aloud_has_a_name(page: Page) -> None:
    """
    Every control has a name, every bar says its numbers, every region its title.
    """
    page.open("?window=all&estimated=1")

    for role in ("button", "combobox", "region", "group"):
        for each in page.tab.get_by_role(role).all():
            assert each.evaluate(NAMED).strip(), each.evaluate("node => node.outerHTML.slice(0, 200)")
    assert 1 == page.number("h1") == page.number("main")
    assert page.tab.locator("[data-day='2026-11-02']").get_attribute("aria-label").startswith("2026-11-02: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 3840])
def test_no_width_needs_sideways_scrolling_and_every_text_can_be_read(
    browser: Any, server: Served, width: int, scheme: str
) -> None:
    """
    From a phone to a wall, in both themes.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = Page(context.new_page(), server).open("?window=all&estimated=1&superseded=1&day=2026-11-02")
    page.tab.wait_for_selector("[data-testid=session]")

    assert width >= page.tab.evaluate("document.documentElement.scrollWidth")
    assert [] == page.tab.evaluate(CONTRAST)
    assert [] == page.wrong
    context.close()


def test_theme_can_be_chosen_and_is_kept(page: Page) -> None:
    page.open()
    dark = page.tab.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    page.of("theme").click()
    page.of("theme").click()
    page.tab.reload()
    page.settled()

    assert "theme: dark" == page.of("theme").inner_text()
    assert dark != page.tab.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")


# -- when something is missing ---------------------------------------------------------------------------------------


def test_nothing_in_the_window_is_no_zero(page: Page) -> None:
    """
    The demo's week is over; a window without a call says so, and how many files were read.
    """
    page.open("?window=24h")

    assert "No call lies in this window" in page.of("chart").inner_text()
    assert 0 == page.number("[data-testid=day]") - page.number("[data-gap]")


def test_a_server_that_is_gone_is_no_zero_either(page: Page) -> None:
    """
    What was drawn stays, faded and with its age; the failure is said aloud.
    """
    page.open()
    before = page.of("card-measured").get_attribute("data-total")
    page.tab.route("**/api/v1/**", lambda route: route.abort())
    page.of("window-90d").click()
    page.settled()

    assert "does not answer" in page.of("trouble").inner_text()
    assert "alert" == page.of("trouble").get_attribute("role")
    assert before == page.of("card-measured").get_attribute("data-total")
    assert page.tab.evaluate("document.body.classList.contains('old')")
    page.wrong.clear()  # the browser tells of each request that failed

    page.tab.unroute("**/api/v1/**")
    page.click("window-all")
    assert page.of("trouble").is_hidden()


def test_without_the_token_the_page_says_what_it_needs(browser: Any, server: Served) -> None:
    context = browser.new_context()
    page = Page(context.new_page(), server)
    page.tab.goto(server.base)
    page.settled()

    assert "holds the token" in page.of("trouble").inner_text()
    assert "unknown" == page.of("verdict").get_attribute("data-state")
    context.close()


@contextmanager
def serving(state: StatePaths, home: Path) -> Iterator[Served]:
    """Serve a state directory to who knows the token."""
    command = [sys.executable, "-m", "daemon.command", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--state-dir", str(state.root), "--home", str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield Served(f"{address}/#token={(state.root / 'api-token').read_text().strip()}", state)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_a_state_directory_without_tables_says_what_to_type(
    browser: Any, tmp_path: Path, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    "Nothing published" is a failure with a command, and once there are tables, "no log was ever read".
    """
    state = StatePaths(tmp_path / "state")
    context = browser.new_context()
    with serving(state, own_home) as server:
        page = Page(context.new_page(), server).open()
        assert "tallystick ingest" in page.of("trouble").inner_text()

        main(["ingest", "--home", str(own_home), "--state-dir", str(state.root)])
        page.tab.reload()
        page.settled()
        assert "nothing is known, which is not zero" in page.of("chart").inner_text()
        assert "none" == page.tab.locator("[data-testid=card-measured] .figure").inner_text()
    context.close()


def test_of_very_many_sessions_the_largest_are_drawn_and_it_is_said(browser: Any, host: Host) -> None:
    """
    What is not drawn is counted as far as it is known, and the total is of all.
    """
    for number in range(1_100):
        host.gptme(f"2026-11-02-s{number}").write_bytes(gptme_lines([number + 1]))
    host.ingest()
    context = browser.new_context()
    with serving(host.state, host.home) as server:
        page = Page(context.new_page(), server).open("?window=all&by=session")

        assert 200 == page.of("row").count()
        assert "2026-11-02-s1099" == page.of("row").first.get_attribute("data-key")
        assert "More than 800 others" in page.of("table").inner_text()
        total = server.said("usage")["totals"]["measured"]["total_tokens"]
        assert f"{total:,}" in page.tab.locator("[data-testid=card-measured]").inner_html()
    context.close()

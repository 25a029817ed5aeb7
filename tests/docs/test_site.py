"""The documentation as it was built: pages that show all they have, without a network."""

from __future__ import annotations

import functools
import html.parser
import http.server
import importlib
import pathlib
import pkgutil
import re
import threading
import time
import urllib.parse
import zlib

import pytest
from support import chromium
from support.extras import SITE

import recsim

pytestmark = pytest.mark.needs("site")

# The page 404.html is shown at any address, so that its links begin at the root of a server.
PAGES = sorted(page for page in SITE.rglob("*.html") if page.name != "404.html")
# A browser each, which two processes share out.
PARTS = 4

#: What is wrong with a page as it is shown: an expression of JavaScript.
FAULTS = """((width) => {
  const faults = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > width) {
    const outer = [...document.querySelectorAll("article *")].find(
      (element) => element.getBoundingClientRect().right > width + 1);
    faults.push(`${wide} px wide: ${outer ? outer.outerHTML.slice(0, 120) : "?"}`);
  }
  for (const image of document.images)
    if (!image.complete || !image.naturalWidth) faults.push(`no picture: ${image.src}`);
  for (const formula of document.querySelectorAll("math")) {
    const box = formula.getBoundingClientRect();
    if (!box.width || !box.height) faults.push(`no formula: ${formula.textContent}`);
  }
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const style = getComputedStyle(document.body);
  const lights = [style.color, style.backgroundColor].map(luminance).sort((a, b) => b - a);
  if ((lights[0] + 0.05) / (lights[1] + 0.05) < 4.5) faults.push("text of too little contrast");
  return faults;
})(%d)"""

LOOKS = ((1280, False), (390, True), (390, False), (1280, True))


def faults_of(page: chromium.Page) -> list[tuple[object, ...]]:
    """Returns what is wrong with a page in wide and narrow windows, light and dark."""
    wrong: list[tuple[object, ...]] = []
    for width, dark in LOOKS:
        page.look(width, dark=dark)
        wrong += [(width, "dark" if dark else "light", f) for f in page.evaluate(FAULTS % width)]
    return wrong + [("console", error) for error in page.errors]


class _Links(html.parser.HTMLParser):
    """Collects where a page leads, and its anchors."""

    def __init__(self, page: pathlib.Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.update(found[name] for name in ("id", "name") if found.get(name))
        for name in ("href", "src"):
            if found.get(name) and tag != "base":
                self.links.append(found[name])


def test_there_are_pages():
    assert (SITE / "404.html").is_file()
    assert {"genindex.html", "index.html", "search.html"} <= {
        page.relative_to(SITE).as_posix() for page in PAGES
    }
    assert "## Scenarios and agents" in (SITE / "llms.txt").read_text(encoding="utf-8")


def test_links_within_the_site_lead_somewhere():
    found = {page.resolve(): _Links(page) for page in PAGES}
    broken = []
    for page, of_page in found.items():
        for link in of_page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = urllib.parse.unquote(parts.path)
            target = (page.parent / path).resolve() if path else page
            anchor = urllib.parse.unquote(parts.fragment)
            is_there = target.is_file()
            if is_there and anchor and target in found:
                is_there = anchor in found[target].anchors
            if not is_there:
                broken.append(f"{page.relative_to(SITE.resolve())}: {link}")
    assert broken == []


def test_addresses_of_other_sites_are_well_formed():
    for page in PAGES:
        for link in _Links(page).links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in ("http", "https"):
                assert "." in parts.netloc or parts.netloc.startswith("localhost"), (page, link)


def test_every_public_name_has_an_entry():
    # After four lines of comments, compressed: an entry a line, which begins with its name.
    inventory = (SITE / "objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    missing = []
    for module in ["recsim", *(m.name for m in pkgutil.walk_packages(recsim.__path__, "recsim."))]:
        if any(part.startswith("_") for part in module.split(".")):
            continue
        if module not in known:
            missing.append(module)
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", ()):
            if f"{module}.{name}" not in known and not name.startswith("__"):
                missing.append(f"{module}.{name}")
    assert missing == []


def test_entries_show_no_representations_of_objects():
    for page in (SITE / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for garbled in ("&lt;class", "&lt;function", "&lt;factory", "object at 0x"):
            assert garbled not in text, page.name


def test_examples_show_what_came_out():
    # An experiment whose tasks fail continues, and says so below its tables.
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\d tasks? failed", text), page.name
        if "cell_input" in text:
            assert "cell_output" in text, page.name


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("part", range(PARTS))
def test_pages_show_all_they_have(part):
    wrong = []
    with chromium.opened(SITE / "index.html", 1280) as page:
        for path in PAGES[part::PARTS]:
            page.visit(path.as_uri())
            wrong += [(path.name, *fault) for fault in faults_of(page)]
            outside = [r for r in page.requests if not r.startswith(("file:", "data:"))]
            wrong += [(path.name, "asks for", request) for request in outside]
    assert wrong == []


@pytest.fixture
def address():
    """The site on a server of this machine, which ends with the test."""
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.needs("chromium")
def test_search_and_the_page_of_missing_pages_work_on_a_server(address):
    with chromium.opened(SITE / "index.html", 1280) as page:
        page.call("Network.disable")  # As if there were a network.
        page.visit(f"{address}/404.html")
        assert faults_of(page) == []
        page.visit(f"{address}/search.html?q=SlateQ")
        until = time.monotonic() + 60
        while not page.evaluate("document.querySelectorAll('#search-results li').length"):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert "SlateQ" in page.evaluate("document.querySelector('#search-results').innerText")
        assert page.errors == []

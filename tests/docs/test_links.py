"""Links within the documentation lead to a file, and to a heading of it, that exists."""

from __future__ import annotations

import pathlib
import re

import pytest

CHECKOUT = pathlib.Path(__file__).parents[2]
PAGES = [
    *sorted(CHECKOUT.glob("*.md")),
    *sorted((CHECKOUT / ".github").rglob("*.md")),
    *sorted((CHECKOUT / "examples").glob("*.md")),
    *(p for p in sorted((CHECKOUT / "docs").rglob("*.md")) if "_build" not in p.parts),
]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.M | re.S)


def links(page: pathlib.Path) -> list[str]:
    """Returns the targets of a page's links that stay in the checkout."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: pathlib.Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+)$", text, re.M)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {slug if slugs.index(slug) == i else f"{slug}-1" for i, slug in enumerate(slugs)}


def is_there(page: pathlib.Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def test_there_are_links():
    assert sum(len(links(page)) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_links_lead_somewhere(page):
    assert [link for link in links(page) if not is_there(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_files_that_are_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"(?<![\w/.])(?:docs|examples|recsim|tests|tools)/[\w/.-]+\.(?:py|md)\b", text
    )
    assert [path for path in named if not (CHECKOUT / path).is_file()] == []


def test_what_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: here\n[a](page.md#a-heading-here) [b](#there) [c](no.md) `[d](e)`\n"
    )
    assert [link for link in links(page) if not is_there(page, link)] == ["#there", "no.md"]

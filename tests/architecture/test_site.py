"""The pages as a site, and the links between them where people read them in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scripts.site_pages import ROOT_PAGES, place_of, relinked

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROJECT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Attributes by which a browser fetches something as soon as it shows a page.
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}


class _Fetches(HTMLParser):
    """What a page has a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_FETCHED.get(tag, ""))
        if address is not None and given.get("rel") != "canonical":
            self.found.append(address)
        if tag == "style" or "style" in given:
            self.found += re.findall(r"url\(([^)]+)\)", given.get("style") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does: strictly, so that a link that leads nowhere ends it."""
    if not (_PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    made = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(made)],
        cwd=_PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [f"docs/{path.relative_to(_PROJECT / 'docs')}" for path in (_PROJECT / "docs").rglob("*.md")]
    assert len(pages) > 40
    missing = [page for page in (*pages, *ROOT_PAGES) if not (site / place_of(page)).with_suffix(".html").is_file()]
    assert missing == []


def test_no_markup_is_left_over(site: Path) -> None:
    """A row outside its table, a link or list that is none: what a reader of the site would see as it was typed."""
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8").partition('role="main"')[2]
        words = re.sub(r"<[^>]+>", "", re.sub(r"<(pre|code).*?</\1>", "", text, flags=re.DOTALL))
        assert re.findall(r"^(?:\||- |```).*|\]\(", words, re.MULTILINE) == [], page


def _fetched_from_elsewhere(page: str) -> list[str]:
    parser = _Fetches()
    parser.feed(page)
    return [address for address in parser.found if re.match(r"(?:[a-z]+:)?//", address)]


def _imported_from_elsewhere(sheet: str) -> list[str]:
    addresses = re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", sheet)
    return [one for pair in addresses for one in pair if re.match(r"(?:(?!data:)[a-z]+:)?//", one)]


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    assert {page for page in pages if _fetched_from_elsewhere(page.read_text(encoding="utf-8"))} == set()
    sheets = sorted(site.rglob("*.css"))
    assert sheets
    assert {sheet for sheet in sheets if _imported_from_elsewhere(sheet.read_text(encoding="utf-8"))} == set()


def test_what_is_fetched_from_another_host_is_seen() -> None:
    page = """<link rel="stylesheet" href="//fonts.example/a.css"><script src="https://b.example/b.js"></script>
    <a href="https://c.example">no</a><img src="d.png"><link rel="canonical" href="https://e.example/">"""
    assert _fetched_from_elsewhere(page) == ["//fonts.example/a.css", "https://b.example/b.js"]
    sheet = """@import "https://f.example/f.css"; a { src: url('//g.example/g.woff') } b { src: url(h.woff) }"""
    assert _imported_from_elsewhere(sheet) == ["https://f.example/f.css", "//g.example/g.woff"]


def test_links_lead_where_things_are_in_the_site() -> None:
    text = "[a](../README.md#who-is-who) [b](../src/ambergate/core/verify/steps.py) [c](checks.md) [d](gone.md)"
    led = relinked(f"{text}\n```\n[e](../README.md)\n```\n", "docs/explain.md", "explain.md")
    assert led.splitlines()[0] == (
        "[a](index.md#who-is-who) [b](project/src/ambergate/core/verify/steps.py.md) [c](checks.md) [d](gone.md)"
    )
    assert "[e](../README.md)" in led


def test_a_folder_is_its_readme_or_the_list_of_what_is_in_it() -> None:
    led = relinked("[a](../examples) [b](../deploy/systemd/) [c](openapi)", "docs/explain.md", "explain.md")
    assert led == "[a](project/examples/README.md) [b](project/deploy/systemd/index.md) [c](openapi/index.md)"


def _tracked_pages() -> list[Path]:
    try:
        done = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=_PROJECT, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := _PROJECT / name).is_file()]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        text = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if number == 0 else f"{slug}-{number}" for slug, last in found.items() for number in range(last + 1)}


def _broken(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        if not found.exists() or (anchor and anchor not in _anchors(found)):
            yield f"{page.relative_to(_PROJECT)}: {target}"


def test_links_lead_somewhere_in_the_repository() -> None:
    pages = _tracked_pages()
    assert len(pages) > 50
    assert [broken for page in pages for broken in _broken(page)] == []

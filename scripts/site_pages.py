"""Hook of mkdocs: the site holds what the pages link to, also outside docs/.

Pages are written for a reader of the repository: README.md links to docs/policies.md, docs/checks.md to a file of the
source. In the site README.md is the first page, other pages of the root are below project/, and so is each other file
or folder that a page links to: a file as a page of its text, a folder as the list of what is in it. Links follow. One
that leads nowhere stays as it is, and `mkdocs build --strict` refuses it.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROJECT: Final = Path(__file__).resolve().parents[1]
ROOT_PAGES: Final = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_LANGUAGES: Final = {".py": "python", ".toml": "toml", ".c": "c", ".json": "json"}


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and everything that pages link to."""
    waiting = [*ROOT_PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        place = place_of(path)
        if place != path.removeprefix("docs/") or files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, content=_content(path)))
        if path.endswith(".md"):
            linked = set(_links((PROJECT / path).read_text(encoding="utf-8"), path)) - seen
            waiting.extend(sorted(linked))
            seen |= linked
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links of a page to where their targets are in the site."""
    del config, files
    place = page.file.src_uri
    return relinked(markdown, _sources()[place], place) if place in _sources() else markdown


def relinked(markdown: str, path: str, place: str) -> str:
    """The text of the page `path` as it has to be at `place`."""

    def led(match: re.Match[str]) -> str:
        target = _target(path, match["target"])
        if target is None:
            return match[0]
        return f"]({posixpath.relpath(place_of(target), posixpath.dirname(place) or '.')}{match['anchor'] or ''})"

    pieces, last = [], 0
    for fenced in _FENCED.finditer(markdown):
        pieces += [_LINK.sub(led, markdown[last : fenced.start()]), fenced[0]]
        last = fenced.end()
    return "".join([*pieces, _LINK.sub(led, markdown[last:])])


def place_of(path: str) -> str:
    """Where in the site a file or folder of the repository is."""
    if path == "README.md":
        return "index.md"
    found = path.removeprefix("docs/") if path.startswith("docs/") else f"project/{path}"
    if (PROJECT / path).is_dir():
        return f"{found}/index.md"
    return found if path.startswith("docs/") or path.endswith(".md") else f"{found}.md"


def _links(markdown: str, path: str) -> Iterator[str]:
    for match in _LINK.finditer(_FENCED.sub("", markdown)):
        target = _target(path, match["target"])
        if target is not None:
            yield target


def _target(path: str, target: str) -> str | None:
    """The file or folder of the repository that a link of the page `path` names; None: there is none.

    A folder with a README is that page, as on a forge.
    """
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if f"{found}/README.md" in _tracked():
        return f"{found}/README.md"
    return found if found in _tracked() else None


@lru_cache(maxsize=1)
def _tracked() -> frozenset[str]:
    """What a site may hold: files under version control, and their folders. Nothing else of a machine gets in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name]
    return frozenset(names) | {str(parent) for name in names for parent in Path(name).parents if parent != Path()}


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    """Places in the site of pages in Markdown, and what they are made of."""
    return {place_of(name): name for name in _tracked() if name.endswith(".md")}


def _content(path: str) -> str:
    full = PROJECT / path
    if path.endswith(".md"):
        return full.read_text(encoding="utf-8")
    if full.is_dir():
        inside = sorted(name for name in _tracked() if posixpath.dirname(name) == path)
        return "\n".join([f"# {path}", "", *(f"- {_listed(name)}" for name in inside), ""])
    text = full.read_text(encoding="utf-8")
    fence = "`" * (max([2, *map(len, re.findall(r"`{3,}", text))]) + 1)
    return f"# {path}\n\n{fence}{_LANGUAGES.get(full.suffix, 'text')}\n{text}{fence}\n"


def _listed(name: str) -> str:
    """A file of a folder under docs/ is in the site by itself; others are only named."""
    base = posixpath.basename(name)
    return f"[{base}]({base})" if name.startswith("docs/") else f"`{base}`"

"""The pages of documentation: links between them lead somewhere, and files that they name are there."""

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TOP = ("shared", "daemon", "workers", "client", "tests", "benchmarks", "tools", "docs", "configs", "systemd")
MADE = {"docs/performance-contenders.md"}  # `make bench-docs` writes it: names in it are those of its day
PLACEHOLDERS = {"client/cli/verbs/NAME.py"}


def named(path):
    return path.relative_to(ROOT).as_posix()


def prose(page):
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """The names by which headings of a page are linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lacks(page, target):
    """What a link of `page` does not lead to; None where all is well, or the link leaves the project."""
    if re.match(r"\w+://", target):
        return None
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return path
    return anchor if anchor and anchor not in anchors(file) else None


def spelled_out(text):
    """``a/{b,c}.py`` as ``a/b.py`` and ``a/c.py``."""
    parts = [part.split(",") if n % 2 else [part] for n, part in enumerate(re.split(r"[{}]", text))]
    return ["".join(piece.strip() for piece in pieces) for pieces in product(*parts)]


def paths(page):
    """What stands in backticks and looks like a path in this repository, without globs."""
    for text in re.findall(r"`([^`\n]+)`", prose(page)):
        if re.match(rf"(?:{'|'.join(TOP)})/[\w./{{}}, -]*$", text) and text not in PLACEHOLDERS:
            yield from spelled_out(text)


def test_the_pages_are_found():
    assert {"docs/service.md", "docs/decisions/README.md"} <= set(map(named, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    assert [target for target in targets if lacks(page, target) is not None] == []


@pytest.mark.parametrize("page", [page for page in PAGES if named(page) not in MADE], ids=named)
def test_paths_in_backticks_exist(page):
    # The table of lazyflow's utilities names tests from tests/ on; test_seed_table looks at those.
    roots = (ROOT, ROOT / "tests")
    assert [path for path in paths(page) if not any((root / path).exists() for root in roots)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name == "README.md"], ids=named)
def test_the_index_names_every_page_beside_it(page):
    if page.parent != ROOT:
        beside = {path.name for path in page.parent.glob("*.md")} - {page.name}
        assert beside <= set(re.findall(r"\]\(([^)]+)\)", page.read_text()))


def test_what_is_wrong_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One heading\n`shared/{errors,gone}.py`\n")
    found = {target: lacks(page, target) for target in ("gone.md", "page.md#one-heading", "#other")}
    assert found == {"gone.md": "gone.md", "page.md#one-heading": None, "#other": "other"}
    assert list(paths(page)) == ["shared/errors.py", "shared/gone.py"]

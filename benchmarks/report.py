"""Show results: tables in Markdown, and a plot of each ratio against its goal.

    python benchmarks/report.py [--quick] [--results FOLDER]          print the table, change nothing
    python benchmarks/report.py --publish [--results FOLDER] [--published FOLDER] [--docs FOLDER]

With --publish the results take the place of those of the same cases that were published before, and the
documentation is written from all that are published.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from cases import CASES
from folders import DOCS, NEW_RESULTS, PUBLISHED_RESULTS
from harness import Figure

_BEGIN, _END = "<!-- table of results: written by benchmarks/report.py -->", "<!-- end of table -->"


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Read the results in a folder, in the order of the cases."""
    paths = [folder / f"{name}.json" for name in CASES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def table(results: list[dict[str, Any]]) -> str:
    """Format a table with one row for each goal."""
    rows = ["| case | against | must reach | measured: median [min max] | |", "|---|---|---|---|---|"]
    for result in results:
        for number, goal in enumerate(result["goals"]):
            title = "" if number else f"{result['title']} (load {result['environment']['load'][0]:g})"
            rows.append(f"| {title} | {_against(goal)} | {_bound(goal)} | {_measured(goal)} |")
    return "\n".join(rows)


def _against(goal: dict[str, Any]) -> str:
    peer = goal.get("peer") or ""
    text = goal["text"] if peer in ("", goal["text"]) else f"{goal['text']} ({peer})"
    return text if goal["ours"] == "ours" else f"{goal['ours']}: {text}"


def _bound(goal: dict[str, Any]) -> str:
    return f"{'≥' if goal['at_least'] else '≤'} {goal['bound']:g} {goal['unit']}"


def _measured(goal: dict[str, Any]) -> str:
    if goal["measured"] is None:
        return "not measured | "
    return f"{Figure(**goal['measured'])} | {'reached' if goal['reached'] else '**missed**'}"


def contenders(results: list[dict[str, Any]]) -> str:
    """Format a page with all figures of all contenders, and the notes of each case."""
    sections = [
        "# All contenders of the benchmarks",
        "Written by `make bench-docs`; see [performance](performance.md).",
    ]
    for result in results:
        unit, environment = result["unit"], result["environment"]
        rows = [f"| | {unit}: median [min max] |", "|---|---|"]
        rows += [f"| {name} | {Figure(**figure)} |" for name, figure in result["figures"].items()]
        notes = [f"- {note}" for note in result["notes"]]
        measured_at = f"{environment['time']}, load {environment['load'][0]:g}, {environment['revision']}"
        heading = f"## {result['title']}\n\n{measured_at}"
        sections += [heading, "\n".join(rows), *(["\n".join(notes)] if notes else [])]
    return "\n\n".join(sections) + "\n"


def put_table(page: Path, text: str) -> None:
    """Replace the text between the two marks of a page.

    Parameters
    ----------
    page : Path
    text : str

    Raises
    ------
    SystemExit
        If the marks are missing.
    """
    pattern = re.compile(re.escape(_BEGIN) + ".*" + re.escape(_END), re.DOTALL)
    old = page.read_text()
    if not pattern.search(old):
        raise SystemExit(f"{page}: no place for the table; it stands between {_BEGIN} and {_END}")
    page.write_text(pattern.sub(lambda _: f"{_BEGIN}\n{text}\n{_END}", old))


def margins(results: list[dict[str, Any]]) -> list[tuple[str, float, float, float]]:
    """For each goal its text, and median, worst and best relative to its bound (above 1: reached)."""
    rows = []
    for result in results:
        for goal in result["goals"]:
            if goal["measured"] is None:
                continue
            figure, bound = Figure(**goal["measured"]), goal["bound"]
            values = [value / bound for value in (figure.median, figure.low, figure.high)]
            if not goal["at_least"]:
                values = [1 / value for value in (values[0], values[2], values[1])]
            label = f"{result['case']}: {_against(goal)}, {_bound(goal)}"
            rows.append((label, *values))
    return rows


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw a bar for each goal; those that end right of the line have reached it.

    Parameters
    ----------
    results : list of dict
    path : Path
        Of the image.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    rows = margins(results)[::-1]
    figure, axes = pyplot.subplots(figsize=(10, 0.27 * len(rows) + 1.2), layout="constrained")
    for row, (_, median, low, high) in enumerate(rows):
        colour = "#2b7bba" if median >= 1 else "#d1495b"
        axes.barh(row, math.log2(median), color=colour, height=0.7)
        axes.plot([math.log2(low), math.log2(high)], [row, row], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=7)
    axes.axvline(0, color="black", linewidth=1.2)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{2**value:g}x"))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("measured / must reach (right of 1x: reached); line: range of the rounds")
    figure.savefig(path, dpi=110)


def publish(new_folder: Path, published: Path, docs: Path) -> list[str]:
    """Publish new results, and write the pages.

    Parameters
    ----------
    new_folder : Path
        Folder of new results; it may lack cases, or not exist.
    published : Path
        Folder of published results; those of the same cases are replaced.
    docs : Path
        Folder of the pages.

    Returns
    -------
    list of str
        The cases with new results.

    Raises
    ------
    SystemExit
        If a new result is a quick one, or if there are no results at all.
    """
    new = read_results(new_folder)
    if quick := [result["case"] for result in new if result["quick"]]:
        raise SystemExit(f"{new_folder}: quick results are not for the documentation: {', '.join(quick)}")
    published.mkdir(parents=True, exist_ok=True)
    for result in new:
        shutil.copyfile(new_folder / f"{result['case']}.json", published / f"{result['case']}.json")
    results = read_results(published)
    if not results:
        raise SystemExit(f"there are no results in {new_folder} or {published}; `make bench` makes some")
    put_table(docs / "performance.md", table(results))
    (docs / "performance-contenders.md").write_text(contenders(results))
    plot(results, docs / "performance.png")
    return [result["case"] for result in new]


def main() -> int:
    """Run the report; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="of the quick results")
    parser.add_argument("--results", type=Path, default=NEW_RESULTS, help="of `make bench`")
    parser.add_argument("--publish", action="store_true", help="write the documentation")
    parser.add_argument("--published", type=Path, default=PUBLISHED_RESULTS, help="results that it tells")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where performance.md is, and the rest goes")
    args = parser.parse_args()
    if args.publish:
        if args.quick:
            parser.error("--publish: not with --quick")
        cases = publish(args.results, args.published, args.docs)
        print(f"{args.docs}: written, new results of {', '.join(cases) or 'no case'}")
        return 0
    results = read_results(args.results / "quick" if args.quick else args.results)
    if not results:
        print("there are no results yet; run benchmarks/run.py first", file=sys.stderr)
        return 1
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

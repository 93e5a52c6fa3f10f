"""Tell the kept results: tables in Markdown, and a plot of each ratio against its goal.

python benchmarks/report.py [--quick] [--results FOLDER] [--docs FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from cases import CASES
from harness import Figure

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
_BEGIN, _END = "<!-- table of results: written by benchmarks/report.py -->", "<!-- end of table -->"


def kept(folder: Path) -> list[dict[str, Any]]:
    """The results in a folder, in the order of the cases."""
    paths = [folder / f"{name}.json" for name in CASES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def table(results: list[dict[str, Any]]) -> str:
    """One row for each goal."""
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
    """A page with all figures of all contenders, and what is to be known of each case."""
    parts = [
        "# All contenders of the benchmarks",
        "Written by `make bench`; see [performance](performance.md).",
    ]
    for result in results:
        unit, kept_on = result["unit"], result["environment"]
        rows = [f"| | {unit}: median [min max] |", "|---|---|"]
        rows += [f"| {name} | {Figure(**figure)} |" for name, figure in result["figures"].items()]
        notes = [f"- {note}" for note in result["notes"]]
        heading = (
            f"## {result['title']}\n\n{kept_on['time']}, load {kept_on['load'][0]:g}, {kept_on['revision']}"
        )
        parts += [heading, "\n".join(rows), *(["\n".join(notes)] if notes else [])]
    return "\n\n".join(parts) + "\n"


def put_table(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    pattern = re.compile(re.escape(_BEGIN) + ".*" + re.escape(_END), re.DOTALL)
    old = page.read_text()
    if not pattern.search(old):
        raise SystemExit(f"{page}: no place for the table; it stands between {_BEGIN} and {_END}")
    page.write_text(pattern.sub(lambda _: f"{_BEGIN}\n{text}\n{_END}", old))


def margins(results: list[dict[str, Any]]) -> list[tuple[str, float, float, float]]:
    """For each goal its text, and how far beyond its bound (above 1: reached) median, worst and best are."""
    found = []
    for result in results:
        for goal in result["goals"]:
            if goal["measured"] is None:
                continue
            figure, bound = Figure(**goal["measured"]), goal["bound"]
            values = [value / bound for value in (figure.median, figure.low, figure.high)]
            if not goal["at_least"]:
                values = [1 / value for value in (values[0], values[2], values[1])]
            label = f"{result['case']}: {_against(goal)}, {_bound(goal)}"
            found.append((label, *values))
    return found


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """A bar for each goal; those that end right of the line have reached it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    rows = margins(results)[::-1]
    figure, axes = pyplot.subplots(figsize=(10, 0.27 * len(rows) + 1.2), layout="constrained")
    for place, (_, median, low, high) in enumerate(rows):
        colour = "#2b7bba" if median >= 1 else "#d1495b"
        axes.barh(place, math.log2(median), color=colour, height=0.7)
        axes.plot([math.log2(low), math.log2(high)], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=7)
    axes.axvline(0, color="black", linewidth=1.2)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{2**value:g}x"))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("measured / must reach (right of 1x: reached); line: range of the rounds")
    figure.savefig(path, dpi=110)


def main() -> int:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="of the quick results; printed, nothing written")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where performance.md is, and the rest goes")
    args = parser.parse_args()
    results = kept(args.results / "quick" if args.quick else args.results)
    if not results:
        print("there are no results yet; run benchmarks/run.py first", file=sys.stderr)
        return 1
    print(table(results))
    if not args.quick:
        put_table(args.docs / "performance.md", table(results))
        (args.docs / "performance-contenders.md").write_text(contenders(results))
        plot(results, args.docs / "performance.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())

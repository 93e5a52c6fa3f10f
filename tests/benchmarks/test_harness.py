"""What the benchmarks say of their figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import harness

    return harness


@pytest.fixture
def bench(harness, tmp_path):
    return harness.Bench(tmp_path, quick=True, rounds=3)


def test_contenders_take_turns_and_the_first_round_does_not_count(harness):
    order = []

    def contender(name):
        order.append(name)
        return float(len(order))

    values = harness.race({"a": lambda: contender("a"), "b": lambda: contender("b")}, 2)
    assert order == ["a", "b"] * 3
    assert values == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_a_contender_that_tells_no_figure_is_timed(harness):
    (took_s,) = harness.race({"a": lambda: None}, 1)["a"]
    assert 0 <= took_s < 60


def test_a_ratio_is_taken_within_each_round(bench):
    bench.values = {"ours": [1.0, 10.0, 2.0], "peer": [3.0, 20.0, 10.0]}  # of medians it would be 5
    bench.faster("peer", 2.9)
    (goal,) = bench.results()["goals"]
    assert goal["measured"] == {"median": 3.0, "low": 2.0, "high": 5.0, "n": 3}
    assert goal["reached"]


def test_the_best_of_several_peers_counts_and_those_that_are_missing_do_not(bench):
    bench.values = {"ours": [1.0], "slow": [9.0], "quick": [2.0]}
    bench.faster(("slow", "not installed", "quick"), 3, "the best")
    (goal,) = bench.results()["goals"]
    assert goal["peer"] == "quick"
    assert goal["measured"]["median"] == 2.0
    assert goal["reached"] is False


@pytest.mark.parametrize(("bound", "reached"), [(2.0, True), (1.9, False)])
def test_within_means_at_most_so_many_times_what_the_peer_takes(bench, bound, reached):
    bench.values = {"ours": [4.0], "memcpy": [2.0]}
    bench.within("memcpy", bound)
    assert bench.results()["goals"][0]["reached"] is reached


def test_figures_of_their_own_are_scaled(bench):
    bench.values = {"ours": [0.5]}
    bench.at_most(20, "us", 1e6)
    bench.rate(4, "GiB/s", 2.0)
    medians = [(goal["measured"]["median"], goal["reached"]) for goal in bench.results()["goals"]]
    assert medians == [(5e5, False), (4.0, True)]


def test_what_was_not_measured_is_neither_reached_nor_missed(bench):
    bench.values = {"ours": [1.0]}
    bench.faster("peer", 2)
    (goal,) = bench.results()["goals"]
    assert goal["measured"] is None and goal["reached"] is None


def test_the_table_and_the_plot_tell_how_far_each_goal_is(harness, bench):
    import report

    bench.values = {"ours": [1.0, 1.0], "peer": [3.0, 4.0]}
    bench.faster("peer", 2)
    bench.within("peer", 0.1)
    result = {"case": "c", "title": "A case", "environment": {"load": [0.5, 0, 0]}, **bench.results()}
    lines = report.table([result]).splitlines()
    assert "A case" in lines[2] and "| reached |" in lines[2] and "3.5 [3 4]" in lines[2]
    assert "**missed**" in lines[3]
    page = report.contenders([result | {"environment": {"time": "now", "load": [0.5], "revision": "abc"}}])
    assert "## A case\n\nnow, load 0.5, abc" in page and "| peer | 3.5 [3 4] |" in page
    (_, median, worst, best), (_, *missed) = report.margins([result])
    assert (median, worst, best) == (1.75, 1.5, 2.0)
    assert max(missed) < 1


def _result(case, value, quick=False):
    figure = {"median": value, "low": value, "high": value, "n": 1}
    goal = {"kind": "at most", "text": "s", "bound": 9.0, "ours": "ours", "unit": "s", "at_least": False}
    goal |= {"measured": figure, "reached": True}
    environment = {"time": "now", "load": [0.5], "revision": "abc"}
    result = {"case": case, "title": case, "unit": "s", "quick": quick, "notes": [], "goals": [goal]}
    return json.dumps(result | {"figures": {"ours": figure}, "environment": environment})


@pytest.fixture
def folders(tmp_path):
    """Results found and published, and the pages."""
    new_results, published, docs = (tmp_path / name for name in ("found", "published", "docs"))
    for folder in (new_results, published, docs):
        folder.mkdir()
    (docs / "performance.md").write_text(
        "before\n<!-- table of results: written by benchmarks/report.py -->\n<!-- end of table -->\nafter\n"
    )
    (published / "noop.json").write_text(_result("noop", 1.5))
    (published / "lock.json").write_text(_result("lock", 2.5))
    (new_results / "lock.json").write_text(_result("lock", 3.5))
    return new_results, published, docs


def test_what_is_published_is_the_new_results_and_those_of_all_other_cases(harness, folders, monkeypatch):
    import report

    monkeypatch.setattr(report, "plot", lambda results, path: path.write_text(str(len(results))))
    assert report.publish(*folders) == ["lock"]
    new_results, published, docs = folders
    assert (published / "lock.json").read_text() == (new_results / "lock.json").read_text()
    page = (docs / "performance.md").read_text()
    assert page.startswith("before\n") and page.endswith("\nafter\n")
    assert "1.5 [1.5 1.5]" in page and "3.5 [3.5 3.5]" in page and "2.5" not in page
    assert "## noop" in (docs / "performance-contenders.md").read_text()
    assert (docs / "performance.png").read_text() == "2"


def test_quick_results_are_not_published(harness, folders):
    import report

    (folders[0] / "lock.json").write_text(_result("lock", 3.5, quick=True))
    before = _contents(*folders[1:])
    with pytest.raises(SystemExit, match="quick results are not for the documentation: lock"):
        report.publish(*folders)
    assert _contents(*folders[1:]) == before


def _contents(*folders):
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_a_report_alone_changes_nothing(folders):
    new_results, _, docs = folders
    before = _contents(*folders, ROOT / "docs", FOLDER / "results")
    command = [sys.executable, str(FOLDER / "report.py"), "--results", str(new_results), "--docs", str(docs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3.5 [3.5 3.5]" in done.stdout
    assert _contents(*folders, ROOT / "docs", FOLDER / "results") == before


def test_results_go_where_git_ignores_them(harness):
    import folders

    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{folders.NEW_RESULTS.relative_to(ROOT).parts[0]}/" in ignored


@pytest.mark.processes
@pytest.mark.parametrize(
    "case", ["lock", "fileset_raw_64", "read_raw_128", "write_raw_128", "noop", "cold_start"]
)
def test_a_quick_case_ends_with_its_figures_and_leaves_no_scratch(case, tmp_path):
    scratch, results = tmp_path / "scratch", tmp_path / "results"
    scratch.mkdir()
    command = [sys.executable, str(FOLDER / "run.py"), "--case", case, "--quick", "--rounds", "1"]
    command += ["--scratch", str(scratch), "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((results / "quick" / f"{case}.json").read_text())
    assert result["rounds"] == 1 and all(len(values) == 1 for values in result["values"].values())
    assert any(name.startswith(("ours", "blockmill")) for name in result["figures"])
    assert result["goals"] and result["environment"]["packages"]["numpy"]
    assert len(result["environment"]["load"]) == 3
    assert os.listdir(scratch) == []


def test_every_case_can_be_loaded(harness):
    import cases

    for name in cases.CASES:
        module, _, function = cases.CASES[name].partition(":")
        assert f"def {function}(" in (FOLDER / "cases" / f"{module}.py").read_text()

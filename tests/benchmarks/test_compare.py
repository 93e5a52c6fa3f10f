"""What is said of two checkouts that were measured in turns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def paired(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import paired

    return paired


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import compare

    return compare


@pytest.fixture
def rounds():
    """Twenty rounds of a figure whose machine is slower now and then, for both alike, and 2 % of noise."""

    def made(seed, factor=1.0):
        slow = np.random.default_rng(0).uniform(1, 1.5, 20)
        return list(slow * factor * np.random.default_rng(seed).normal(1, 0.02, 20))

    return made


def test_the_same_figures_are_no_loss(paired, rounds):
    verdict = paired.judge(rounds(1), rounds(2), [1.0] * 20, [1.0] * 20)
    assert verdict.no_loss
    assert verdict.low <= verdict.ratio <= verdict.high
    assert not verdict.wide and str(verdict).endswith("no loss")
    assert verdict.ratio == pytest.approx(1, abs=0.02)


def test_fifteen_percent_are_caught(paired, rounds):
    verdict = paired.judge(rounds(1), rounds(2, 1.15), [1.0] * 20, [1.15] * 20)
    assert not verdict.no_loss and str(verdict).endswith("LOSS")
    assert verdict.low > 1.05
    assert verdict.cpu_ratio == pytest.approx(1.15, abs=0.01)


def test_a_gain_is_no_loss(paired, rounds):
    assert paired.judge(rounds(1), rounds(2, 0.5), [1.0] * 20, [1.2] * 20).no_loss


def test_where_the_figure_says_nothing_processor_seconds_decide(paired):
    old, new = [1.0] * 20, [0.5, 2.0, 1.1] * 6 + [1.1] * 2
    assert paired.judge(old, new, [1.0] * 20, [1.02] * 20).ratio == pytest.approx(1.1)
    wide = [0.5, 2.0] * 9 + [1.1, 1.2]
    verdict = paired.judge(old, wide, [1.0] * 20, [1.02] * 20)
    assert verdict.ratio > paired.MAX_RATIO and verdict.low < 1 < verdict.high
    assert verdict.no_loss and verdict.unclear and "more rounds" in str(verdict)
    assert not paired.judge(old, wide, [1.0] * 20, [1.06] * 20).no_loss


def test_the_interval_is_the_same_each_time_and_as_wide_as_the_noise(paired):
    ratios = np.log(np.random.default_rng(3).normal(1.2, 0.05, 200))
    low, high = paired.interval(ratios)
    assert (low, high) == paired.interval(ratios)
    assert low < 1.2 < high
    assert high - low < 0.05


def test_no_rounds_and_odd_rounds_are_refused(paired):
    with pytest.raises(ValueError, match="as many of both"):
        paired.judge([1.0], [], [1.0], [])
    with pytest.raises(ValueError, match="one at least"):
        paired.judge([], [], [], [])


def test_the_sides_take_turns_and_the_first_round_is_dropped(compare, monkeypatch, tmp_path):
    calls = []

    def run_rows(checkout, what, row, _folder, *_options):
        calls.append((what, row, checkout.name))
        return {"figure": float(len(calls)), "cpu_s": 1.0}

    monkeypatch.setattr(compare, "run_rows", run_rows)
    figures_by_row = compare.compare({"old": Path("a"), "new": Path("b")}, ["noop", "help"], 2, tmp_path)
    assert calls[:2] == [("prepare", "noop", "a"), ("prepare", "help", "a")]
    measured = [(row, side) for what, row, side in calls if what == "measure"]
    rows_of = {first: [(row, side) for row in ("noop", "help") for side in first] for first in ("ab", "ba")}
    assert measured == rows_of["ab"] + rows_of["ba"] + rows_of["ab"]
    assert figures_by_row["noop"].figures == {"old": [8.0, 11.0], "new": [7.0, 12.0]}


@pytest.mark.parametrize(
    ("new", "code"),
    [([1.0] * 4, 0), ([1.15] * 4, 1), ([0.6, 1.6, 0.7, 1.4], 3)],
    ids=["same", "lost", "noisy"],
)
def test_the_exit_code_is_0_only_where_a_loss_would_have_been_seen(compare, monkeypatch, tmp_path, new, code):
    figures = {"a": iter([1.0] * 5), "b": iter([1.0, *new])}

    def run_rows(checkout, what, *_):
        return {"figure": next(figures[checkout.name]) if what == "measure" else 0, "cpu_s": 1.0}

    monkeypatch.setattr(compare, "run_rows", run_rows)
    arguments = [str(tmp_path / "a"), str(tmp_path / "b"), "--rows", "noop", "--rounds", "4"]
    assert compare.main([*arguments, "--scratch", str(tmp_path)]) == code


def test_a_checkout_without_environment_is_refused_with_what_to_do(compare, tmp_path, capsys):
    assert compare.main([str(tmp_path), str(tmp_path), "--rows", "help", "--scratch", str(tmp_path)]) == 2
    assert "`make .venv/.core` there makes it" in capsys.readouterr().err


def _environment(folder, python):
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(python)
    return folder


def test_an_environment_of_another_checkout_is_refused(compare, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho \'{"blockmill": "/elsewhere/__init__.py"}\'\n')
    script.chmod(0o755)
    other = _environment(tmp_path / "other", script)
    with pytest.raises(compare.NotComparable, match=r"imports /elsewhere/__init__\.py, which is not in it"):
        compare.run_rows(other, "measure", "help", str(tmp_path))


def test_a_measurement_that_fails_or_hangs_ends_the_comparison(compare, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    broken = _environment(tmp_path / "broken", script)
    with pytest.raises(compare.NotComparable, match=r"measure help .* ended with 3"):
        compare.run_rows(broken, "measure", "help", str(tmp_path))
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    monkeypatch.setattr(compare, "LIMIT_S", 0.2)
    with pytest.raises(compare.NotComparable, match=r"was not over after 0\.2 s"):
        compare.run_rows(broken, "measure", "help", str(tmp_path))


def test_every_row_can_be_measured_and_is_named_alike(compare):
    program = "import json, rows; print(json.dumps({name: row.unit for name, row in rows.ROWS.items()}))"
    command = [sys.executable, "-c", program]
    names = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    assert json.loads(names.stdout) == compare.ROWS


@pytest.mark.processes
def test_a_checkout_against_itself(compare, tmp_path):
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("this checkout has no .venv of its own; `make .venv/.core` makes it")
    results = tmp_path / "found.json"
    command = [sys.executable, str(FOLDER / "compare.py"), str(ROOT), str(ROOT), "--rounds", "1", "--small"]
    command += ["--rows", "noop", "--scratch", str(tmp_path), "--results", str(results)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OPENBLAS_CORETYPE": "x"}
    )
    assert done.returncode in (0, 1, 3), done.stderr
    rows = json.loads(results.read_text())["rows"]
    assert list(rows) == ["noop"]
    for row in rows.values():
        assert len(row["figures"]["old"]) == len(row["figures"]["new"]) == 1
        assert all(figure > 0 for side in row["figures"].values() for figure in side)
    assert {path.name for path in tmp_path.iterdir()} == {"found.json"}


def test_processor_seconds_of_a_command_hold_those_of_its_orphans(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    work = "import time\nwhile time.process_time() < 0.3: pass"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {work!r}])"
    command = f"[sys.executable, '-c', {orphan!r}]"
    program = f"import sys, consumption as c; print(c.consumption_of({command}).cpu_s)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) >= 0.3

"""Runs without a job file, and of several job files."""

import json
import os
import shlex
import shutil
import signal

import numpy as np
import pytest
from scipy import ndimage


def test_an_operation_without_a_file_gives_what_scipy_does(bench):
    voxels = bench.volume()
    out, _ = bench.run("apply", "gaussian", "in.npy", "out dir/out.npy", "sigma=1.5", "-w", "1")
    assert "done: 1 block, 24000 voxels" in out and out.endswith("-> out dir/out.npy\n")
    assert np.array_equal(np.load(bench.folder / "out dir" / "out.npy"), ndimage.gaussian_filter(voxels, 1.5))
    settings = ("--set", "output.block_shape=[16, 16, 16]", "--set", "roi=[[0, 0, 0], [32, 30, 20]]")
    bench.run("apply", "gaussian", "in.npy", "b.json", "sigma=[0, 1, 2]", "mode=nearest", "-q", *settings)
    expected = ndimage.gaussian_filter(voxels, (0, 1, 2), mode="nearest")[:32]
    assert np.array_equal(bench.read("b.json")[:28], expected[:28])
    assert json.loads((bench.folder / "b.json").read_text())["block_shape"] == [16, 16, 16]


def test_a_function_by_its_name(bench):
    voxels = bench.volume()
    bench.run(
        "apply", "scipy.ndimage:median_filter", "in.npy", "m.npy", "size=3", "--set", "halo=1", "-w", "1"
    )
    assert np.array_equal(np.load(bench.folder / "m.npy"), ndimage.median_filter(voxels, 3))
    bench.run("apply", "python", "in.npy", "n.npy", "function=scipy.ndimage:median_filter", "args.size=3",
              "halo=1", "-w", "1")  # fmt: skip
    assert np.array_equal(np.load(bench.folder / "n.npy"), ndimage.median_filter(voxels, 3))


def test_it_goes_on_as_the_same_job_of_a_file_would(bench):
    bench.volume()
    bench.job(input="in.npy", output="out.npy", operation={"threshold": {"above": 100}})
    bench.run("run", "job.yaml", "-w", "1")
    assert "found finished" in bench.run("apply", "threshold", "in.npy", "out.npy", "above=100", "-w", "1")[0]
    _, err = bench.run("apply", "threshold", "in.npy", "out.npy", "above=7", "-w", "1", code=6)
    assert "belongs to another job" in err
    bench.run("apply", "threshold", "in.npy", "out.npy", "above=7", "-w", "1", "--overwrite", "--json")


def test_a_dry_run_changes_nothing(bench):
    bench.volume()
    out, _ = bench.run("apply", "copy", "in.npy", "out.npy", "--dry-run", "--json", "-w", "1")
    assert json.loads(out)["blocks"] >= 1
    assert not (bench.folder / "out.npy").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("gausian", "in.npy", "o.npy"), "did you mean gaussian?"),
        (("gaussian", "in.npy", "o.npy"), "operation.gaussian.sigma: is missing"),
        (
            ("gaussian", "in.npy", "o.npy", "sigm=1"),
            "operation.gaussian.sigm: unknown key; did you mean sigma?",
        ),
        (("gaussian", "in.npy", "o.npy", "sigma=1,5"), "sigma: must be a number"),
        (("gaussian", "in.npy", "o.npy", "1.5"), "1.5: give a key and its value, such as sigma=1.5"),
        (("copy", "in.npy", "o.npy", "--set", "rio=[]"), "rio: unknown key; did you mean roi?"),
        (("copy", "in.npy", "o.npy", "--set", "output.address=x"), "output.address: is given twice"),
        (("copy", "in.npy", "./in.npy"), "is the input itself"),
        (("copy", "no.npy", "o.npy"), "no.npy does not exist"),
    ],
)
def test_mistakes_are_told_as_in_a_job_file(bench, args, words):
    bench.volume()
    assert words in bench.run("apply", *args, "-w", "1", code=5)[1]


def test_an_interrupted_one_says_how_to_go_on(bench, wait_until):
    bench.volume()
    gate = f"gate={bench.gate}"
    words = ["apply", "steps:gated", "in.npy", "my out.npy", gate, "--set", "user_code=.",
             "--set", "block_shape=[10, 30, 20]"]  # fmt: skip
    running = bench.start(*words, "--set", "workers=2")
    wait_until(lambda: len(bench.begun()) >= 2, "two blocks")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    again = err.strip().rpartition("To go on: ")[2]
    assert shlex.split(again) == ["blockmill", *words, "--set", "workers=2"]
    bench.open_gate()
    bench.run(*shlex.split(again)[1:])


def jobs(bench, *names, bad=()):
    for name in names:
        operation = (
            {"python": {"function": "steps:raises", "args": {"at": [0, 0, 0]}}} if name in bad else "copy"
        )
        bench.job(f"{name}.yaml", input="in.npy", output=f"{name}.npy", operation=operation, retries=0,
                  **({"user_code": "."} if name in bad else {}))  # fmt: skip
    return [f"{name}.yaml" for name in names]


def made(bench):
    return sorted(path.stem for path in bench.folder.glob("*.npy") if path.stem != "in")


def test_job_files_are_run_one_after_the_other_until_one_fails(bench):
    bench.volume()
    files = jobs(bench, "a", "b c", "d", "e f", bad=["b c"])
    out, err = bench.run("run", *files, "-w", "1", code=1)
    assert made(bench) == ["a"]
    assert out.count("done: ") == 1 and "-> a.npy\n" in out
    assert "no luck today" in err
    assert "not run, because b c.yaml failed: d.yaml 'e f.yaml' (--keep-going runs them, too)" in err
    out, _ = bench.run("run", "--keep-going", "--json", *files, "-w", "1", code=1)
    assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["done", "failed", "done", "done"]
    assert made(bench) == ["a", "d", "e f"]


def test_the_exit_code_is_that_of_the_first_that_failed(bench):
    bench.volume()
    files = jobs(bench, "a", "b", bad=["b"])
    np.save(bench.folder / "a.npy", np.zeros(3))
    bench.run("run", *files, "-w", "1", "-q", code=6)
    bench.run("run", *files, "-w", "1", "-q", "--keep-going", code=6)
    bench.run("run", *reversed(files), "-w", "1", "-q", "--keep-going", code=1)


def test_nothing_is_run_where_one_file_has_a_mistake(bench):
    bench.volume()
    files = jobs(bench, "a", "b")
    (bench.folder / "b.yaml").write_text("input: a\n")
    _, err = bench.run("run", *files, "missing.yaml", "-w", "1", code=5)
    assert "b.yaml:1:1 output: is missing" in err and "missing.yaml: can't be read" in err
    assert err.endswith("nothing was run; --keep-going runs the job files that are right\n")
    assert made(bench) == []
    bench.run("run", "--keep-going", *files, "-w", "1", code=5)
    assert made(bench) == ["a"]


def test_a_second_file_may_read_what_the_first_has_made(bench):
    voxels = bench.volume()
    jobs(bench, "a")
    bench.job("then.yaml", input="a.npy", output="then.npy", operation="copy")
    bench.run("run", "a.yaml", "then.yaml", "-w", "1")
    assert np.array_equal(np.load(bench.folder / "then.npy"), voxels)


def test_an_interruption_ends_all_of_them(bench, wait_until):
    bench.volume()
    (first,) = jobs(bench, "a")
    gated = bench.gated_job("out.npy")
    (last,) = jobs(bench, "z z")
    running = bench.start("run", "--keep-going", first, gated, last)
    wait_until(lambda: len(bench.begun()) >= 2, "two blocks")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert f"To go on: blockmill run {gated} 'z z.yaml'" in err
    assert made(bench) == ["a"]


def test_a_failure_is_told_once_in_full(bench):
    bench.volume()
    job = bench.steps_job("steps:raises", {"at": [0, 0, 0]}, output="out.npy", retries=2)
    _, err = bench.run("run", job, "-w", "1", code=1)
    assert err.count("steps.py") == 1  # the frame in the user's code
    assert err.count("is tried again") == 2
    assert err.count("RuntimeError: no luck today") == 3
    (bench.folder / "steps.py").write_text("def raises(block, context, at):\n    return block + 'x'\n")
    _, err = bench.run("run", job, "-w", "1", code=1)
    assert "is tried again" not in err
    assert (err.count("steps.py"), err.count("UFuncNoLoopError") + err.count("TypeError")) == (1, 1)


def test_a_function_that_ends_its_process_is_told_as_what_it_is(bench):
    bench.volume()
    job = bench.steps_job("steps:ends", {}, output="out.npy", retries=2)
    (bench.folder / "steps.py").write_text("import sys\ndef ends(block):\n    sys.exit(3)\n")
    _, err = bench.run("run", job, "-w", "1", code=1)
    assert "SystemExit: 3\n" in err and "sys.exit(3)" in err
    assert "tried again" not in err and "worker" not in err


def test_paths_may_begin_with_a_variable(bench):
    bench.environ |= {"PLACE": str(bench.folder)}
    voxels = bench.volume()
    (bench.folder / "$PLACE").mkdir()  # what has that name is meant where it is looked for
    for output in ("${PLACE}/made.npy", "$PLACE/literal.npy", "no$PLACE.npy"):
        bench.job(input="${PLACE}/in.npy", output=output, operation="copy")
        bench.run("run", "job.yaml", "-w", "1")
    for made in ("made.npy", "$PLACE/literal.npy", "no$PLACE.npy"):
        assert np.array_equal(np.load(bench.folder / made), voxels)
    bench.job(input="$PLACE_THAT_IS_NOT_SET/in.npy", output="x.npy", operation="copy")
    assert "$PLACE_THAT_IS_NOT_SET/in.npy does not exist" in bench.run("run", "job.yaml", code=5)[1]


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused_at_once_by_submit_as_by_run(bench):
    closed = bench.folder / "closed"
    closed.mkdir(mode=0o500)
    bench.volume()
    bench.serve()
    if os.geteuid() == 0:
        bench.command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *bench.command]
    bench.job(input="in.npy", output="closed/below/out.npy", operation="copy")
    told = [bench.run(verb, "job.yaml", code=1)[1] for verb in ("run", "submit")]
    assert told[0] == told[1]
    assert "Permission denied" in told[0]
    with bench.client() as client:
        assert client.jobs() == []
    bench.end_service()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("jobs", "ls"), ("info", "volume info"), ("remove", "rm"), ("log", "logs"), ("kill", "cancel")],
)
def test_what_other_programs_call_a_verb_is_led_to_ours(bench, typed, meant):
    _, err = bench.run(typed, "1", code=2)
    assert f"No such command '{typed}'. Did you mean " in err and meant in err

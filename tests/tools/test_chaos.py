"""The kill driver sees what it is there to see."""

import importlib.util
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "chaos"


@pytest.fixture(scope="module")
def chaos():
    """The package, under a name that no folder of a clone has."""
    name = "kill_driver_under_test"
    spec = importlib.util.spec_from_file_location(name, PACKAGE / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    for submodule in ("jobs", "judging", "report", "scene"):
        importlib.import_module(f"{name}.{submodule}")
    yield module
    for loaded in [key for key in sys.modules if key.partition(".")[0] == name]:
        del sys.modules[loaded]


@pytest.fixture
def report(chaos):
    return chaos.report.Report(seed=1)


@pytest.fixture
def want(chaos):
    return np.random.default_rng(1).integers(0, 255, chaos.scene.SHAPE, np.uint8)


@pytest.fixture
def make_job(chaos, tmp_path, want):
    def made(kind):
        return chaos.jobs.ChaosJob("r1j0", kind, tmp_path, want, "", None)

    return made


def write_block(job, start, block, available=True):
    folder = job.folder / f"{job.name}_blocks"
    for letter, n in zip("zyx", start, strict=True):
        folder /= f"{letter}_{n:08}"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / f"block-{start}.h5", "w") as file:
        file["volume/data"] = block
    if available:
        (folder / "STATUS.txt").touch()
    return folder


def test_blocks_that_are_available_are_compared(chaos, report, make_job, want):
    job = make_job("raw")
    write_block(job, (0, 0, 0), want[:16, :16, :32])
    write_block(job, (16, 0, 32), want[:16, :16, :32])
    write_block(job, (32, 0, 0), np.zeros((16, 16, 32), np.uint8), available=False)
    torn = write_block(job, (0, 16, 0), want[:16, :16, :32])
    next(torn.glob("block-*")).write_bytes(b"no HDF5")
    assert chaos.judging.available(job, report) == {"0-0-0", "16-0-32"}
    wrong, unreadable = sorted(report.defects, key=lambda line: "wrong" not in line)
    assert "an available block is wrong" in wrong and "z_00000016" in wrong
    assert "an available block can't be read" in unreadable and "y_00000016" in unreadable


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_a_merged_output_is_compared_once_it_has_its_name(chaos, report, make_job, want, kind, tmp_path):
    job, path = make_job(kind), tmp_path / f"r1j0.{kind}"
    assert chaos.judging.available(job, report) == set()

    def write(voxels):
        path.unlink(missing_ok=True)
        if kind == "npy":
            np.save(path, voxels)
        else:
            with h5py.File(path, "w") as file:
                file["v/data"] = voxels

    write(want)
    assert chaos.judging.available(job, report) == {"all"} and not report.defects
    write(want + 1)
    chaos.judging.available(job, report)
    assert "a merged output with its name is wrong" in report.defects[0]
    path.write_bytes(path.read_bytes()[:50])
    chaos.judging.available(job, report)
    assert "a merged output with its name can't be read" in report.defects[1]


KEPT = ("a.npy", "a.npy.job", "a.npy.blocks", ".a.npy.blockmill/record", ".a.npy.blockmill/ledger", "b.json")
LEFT = (
    "a.npy.partial",
    "a.npy.job.lock",
    "b_blocks/z_0/block-1.h5.partial-12",
    "b_blocks/z_0/STATUS.txt.lock",
    ".a.npy.blockmill/lock",
    ".a.npy.blockmill/partial",
    ".b.blockmill/partial-7",
)


@pytest.mark.parametrize("leaving", LEFT)
def test_what_may_not_be_left_is_seen_in_both_layouts(chaos, tmp_path, leaving):
    for name in (*KEPT, leaving, "state/service.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert chaos.judging.leavings(tmp_path, besides=[tmp_path / "state"]) == [leaving]


def mark(job, *lines):
    path = job.folder / f"{job.name}.mark"
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def every_block(chaos, at_s):
    shape, block = chaos.scene.SHAPE, chaos.scene.BLOCK
    counts = [n // m for n, m in zip(shape, block, strict=True)]
    starts = (
        "-".join(str(i * m) for i, m in zip(index, block, strict=True)) for index in np.ndindex(*counts)
    )
    return [f"begin {start} {at_s} 7" for start in starts]


def test_finished_blocks_that_were_done_again_are_seen(chaos, report, make_job, want):
    job = make_job("raw")
    mark(job, *every_block(chaos, 100.0), "begin 0-0-0 103.0 7", "begin 16-0-0 103.0 7")
    job.have = [(102.0, {"0-0-0"}), (104.0, {"16-0-0"})]
    chaos.judging._judge_work(job, report)
    assert (report.begun_again, report.needless) == (2, 1)
    assert "finished blocks were done again" in report.defects[0] and "['0-0-0']" in report.defects[0]


def test_a_merged_output_that_was_done_again_is_seen(chaos, report, make_job):
    job = make_job("npy")
    mark(job, *every_block(chaos, 100.0), "begin 0-0-0 103.0 7")
    job.have = [(102.0, {"all"})]
    chaos.judging._judge_work(job, report)
    assert report.needless == 1


def test_blocks_that_nobody_computed_are_seen(chaos, report, make_job):
    job = make_job("npy")
    mark(job, *every_block(chaos, 100.0)[1:])
    chaos.judging._judge_work(job, report)
    assert "23 of 24 were begun" in report.defects[0]


def test_a_trial_lasts_from_the_import_until_it_is_over_or_a_block_has_begun(chaos, make_job):
    job = make_job("raw")
    assert job.trying(0) is None
    mark(job, "import - 10.0 5")
    assert job.trying(0) == 5
    assert job.trying(11.0) is None  # of a service that has gone since
    mark(job, "imported - 10.2 5")
    assert job.trying(0) is None
    mark(job, "begin 0-0-0 10.3 5", "import - 10.4 6")  # another worker, which is about to do a block
    assert job.trying(0) is None
    mark(job, "import - 20.0 8")
    assert job.trying(19.0) == 8  # a new run, which tries it again


def test_the_table_counts_hits_by_phase(chaos, report):
    for kind, name, phase in [
        ("worker", "KILL", "trial"),
        ("worker", "KILL", "work"),
        ("nursery", "STOP", "else"),
    ]:
        report.hit(kind, name, phase)
    rows = {line.split()[0]: line.split()[1:] for line in chaos.report.table([report]).splitlines()[2:]}
    assert rows["worker"] == ["2", "0", "0", "1", "0", "0", "1", "0", "0", "0", "0", "0"]
    assert rows["nursery"] == ["0", "0", "1", "0", "0", "0", "0", "0", "0", "0", "0", "1"]
    assert rows["sum"] == ["2", "0", "1", "1", "0", "0", "1", "0", "0", "0", "0", "1"]
    assert report.sent == 3


def test_signals_that_missed_all_work_are_no_proof(chaos, report):
    for _ in range(300):
        report.hit("worker", "KILL", "else")
    missed = ["worker (trial)", "nursery (trial)", "worker (work)", "nursery (work)"]
    assert chaos.report.never_hit([report]) == missed
    for phase in ("trial", "work"):
        for kind in ("worker", "nursery"):
            report.hit(kind, "STOP", phase)
    assert chaos.report.never_hit([report]) == []


def test_the_phase_follows_what_the_code_has_noted(chaos, make_job):
    job = make_job("npy")
    assert chaos.jobs.phase_of([job], 0) == "else"
    mark(job, "import - 10.0 5")
    assert chaos.jobs.phase_of([job], 0) == "trial"
    mark(job, "imported - 10.2 5", "begin 0-0-0 10.3 5")
    assert chaos.jobs.phase_of([job], 0) == "work"
    assert chaos.jobs.phase_of([job], 11.0) == "else"  # a service that was started since
    mark(job, *(line.replace("begin", "end") for line in every_block(chaos, 12.0)))
    assert chaos.jobs.phase_of([job], 0) == "else"


def test_the_jobs_of_a_seed_are_the_same_each_time(chaos, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    scenes = [chaos.scene.Scene(3) for _ in range(2)]
    jobs = [chaos.jobs.make_jobs(scene, 1, 3) for scene in scenes]
    texts = [
        [(job.name, job.kind, job.address, job.after and job.after.name) for job in some] for some in jobs
    ]
    assert texts[0] == texts[1]
    assert all(np.array_equal(a.want, b.want) for a, b in zip(*jobs, strict=True))


def test_waiting_for_a_phase_ends_when_it_has_come_or_can_not_come(chaos, make_job):
    job = make_job("raw")
    looks = []

    def go_on():
        looks.append(1)
        if len(looks) == 3:
            mark(job, "import - 10.0 5")
        return len(looks) < 100

    chaos.jobs.wait_for("trial", [job], 0.0, go_on)
    assert len(looks) == 3
    chaos.jobs.wait_for("work", [job], 0.0, lambda: False)  # its process has gone
    mark(job, *(line.replace("begin", "end") for line in every_block(chaos, 12.0)))
    chaos.jobs.wait_for("work", [job], 0.0, lambda: True)  # all is done
    chaos.jobs.wait_for("else", [make_job("raw")], 0.0, lambda: True)


def test_the_files_of_a_round_that_went_wrong_do_not_disturb_the_next_one(chaos, report, make_job, tmp_path):
    failed = make_job("npy")
    for name in ("r1j0.npy.partial", ".r1j0.npy.blockmill/lock", "r10j0.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    chaos.judging.set_aside([failed])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r10j0.npy", "went-wrong"]
    assert sorted(path.name for path in (tmp_path / "went-wrong").iterdir()) == [
        ".r1j0.npy.blockmill",
        "r1j0.npy.partial",
    ]
    assert chaos.judging.leavings(tmp_path, besides=[tmp_path / "went-wrong"]) == []

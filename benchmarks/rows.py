"""One row of `compare.py`, measured once by the interpreter, and so the blockmill, of one checkout.

    python benchmarks/rows.py prepare ROW FOLDER [--small]
    python benchmarks/rows.py measure ROW FOLDER [--small]

FOLDER is the row's own: what was prepared lies there, and each measurement writes into a new folder in it.
The figure is the least of some repeats: what else the machine does only ever adds to it. So the repeats are
many and short. Nothing but the command line and public names is used, since what is inside lies elsewhere in
other checkouts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import yaml

import blockmill
from blockmill import BigRequestStreamer, BlockGrid, Engine, ParallelVolume, Roi, RoiRequestBatch
from consumption import Consumption, consumption_of, cpu_of_tree_s, peak_of_this_bytes
from scratch import empty_files
from smoothing import SIGMA
from volumes import QUICK_SHAPE, new_fileset, voxels

WORKERS = 2
RESULT_BLOCK = (64, 256, 256)  # 4 MiB
EDGE = 64
_RUN = [sys.executable, "-m", "blockmill", "run", "-q"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `measure` returns one figure in `unit`, and processor seconds."""

    title: str
    unit: str
    measure: Callable[[Path, bool], tuple[float, float]]
    prepare: Callable[[Path, bool], None] = lambda folder, small: None


def _repeat(repeats: int, run: Callable[[], Any], timed: Callable[[Any], None] | None = None) -> Any:
    """Return the least seconds of some runs, and their processor seconds; a first run is not counted.

    With `timed`, only that is timed; it is called with the result of `run`.
    """
    duration_s = []
    start_cpu_s = 0.0
    for number in range(repeats + 1):
        prepared = run() if timed else None
        start_s = time.perf_counter()
        timed(prepared) if timed else run()
        duration_s.append(time.perf_counter() - start_s)
        if not number:
            start_cpu_s = cpu_of_tree_s()
    return min(duration_s[1:]), cpu_of_tree_s() - start_cpu_s


def _prepare_voxels(folder: Path, _small: bool) -> None:
    np.save(folder / "source.npy", np.zeros((100_000, 1, 1), np.uint8))


def _columns(count: int) -> BlockGrid:
    return BlockGrid(Roi((0, 0, 0), (count, 1, 1)), (1, 1, 1))


def _submit_noop(folder: Path, engine: Engine, count: int) -> None:
    """Run blocks that do nothing in the worker, with full bookkeeping.

    The classes of a job's specification have no public names; the public `Engine.submit` says which they
    are, wherever they lie and whatever its parameter is called. A field with another name in one of the two
    checkouts is another entry of `NOOP_RECIPES`.
    """
    spec = next(hint for name, hint in get_type_hints(Engine.submit).items() if name != "return")
    recipe = get_type_hints(spec)["recipe"]
    handle = engine.submit(spec(recipe=_make_recipe(recipe, folder / "source.npy"), blocks=_columns(count)))
    while not hasattr(end := handle.next(), "outcome"):
        pass
    if end.outcome != "done":
        raise AssertionError(f"{end.outcome}: {end}")


def _make_recipe(recipe: Any, source: Path) -> Any:
    for fields in NOOP_RECIPES:
        try:
            return recipe(**fields(recipe, str(source)))
        except (TypeError, KeyError):
            continue
    raise TypeError(f"no entry of NOOP_RECIPES fits {recipe}: add one with its fields")


NOOP_RECIPES: tuple[Callable[[Any, str], dict[str, Any]], ...] = (
    lambda recipe, source: {
        "sources": (get_args(get_type_hints(recipe)["sources"])[0](source),),
        "probe": True,
    },
    lambda recipe, source: {"source": source, "probe": True},
)


def _noop(folder: Path, small: bool) -> tuple[float, float]:
    count = 500 if small else 5000
    with Engine(WORKERS) as engine:
        duration_s, cpu_s = _repeat(20, lambda: _submit_noop(folder, engine, count))
    return duration_s / count * 1e6, cpu_s


def _coordinator(folder: Path, small: bool) -> tuple[float, float]:
    with Engine(WORKERS) as engine:
        start_cpu_s = cpu_of_tree_s()
        _submit_noop(folder, engine, 10_000 if small else 100_000)
        cpu_s = cpu_of_tree_s() - start_cpu_s
    return peak_of_this_bytes() / 1e6, cpu_s


def _request(folder: Path, small: bool) -> tuple[float, float]:
    count = 500
    with Engine(WORKERS) as engine:
        duration_s, cpu_s = _repeat(3 if small else 12, lambda: _run_request(folder, engine, count))
    return duration_s / count * 1e6, cpu_s


def _run_request(folder: Path, engine: Engine, count: int) -> None:
    results = 0

    def count_result(_roi: Any, _block: Any) -> None:
        nonlocal results
        results += 1

    batch = RoiRequestBatch(str(folder / "source.npy"), _columns(count), batch_size=64, engine=engine)
    batch.result_signal.subscribe(count_result)
    batch.execute()
    if results != count:
        raise AssertionError(f"{results} of {count} blocks came")


def _prepare_results(folder: Path, small: bool) -> None:
    np.save(folder / "source.npy", voxels((512 if small else 2048, 256, 256)))


def _results(folder: Path, small: bool) -> tuple[float, float]:
    path = folder / "source.npy"
    data = np.load(path, mmap_mode="r")
    expected = int(data[:: RESULT_BLOCK[0], 0, 0].sum(dtype=np.int64))
    with Engine(WORKERS) as engine:
        return _repeat(2 if small else 16, lambda: _run_stream(engine, path, data.shape, expected))


def _run_stream(engine: Engine, path: Path, shape: tuple[int, ...], expected: int) -> None:
    total = 0

    def add(_roi: Any, block: Any) -> None:
        nonlocal total
        total += int(block[0, 0, 0])

    streamer = BigRequestStreamer(str(path), ((0, 0, 0), shape), RESULT_BLOCK, batch_size=8, engine=engine)
    streamer.result_signal.subscribe(add)
    streamer.execute()
    if total != expected:
        raise AssertionError("wrong voxels")


def _shape(small: bool) -> tuple[int, int, int]:
    return (128, 128, 128) if small else QUICK_SHAPE


def _prepare_read(folder: Path, small: bool) -> None:
    data = voxels(_shape(small))
    new_fileset(folder, data.shape, EDGE).write(Roi.from_shape(data.shape), data)


def _read(folder: Path, small: bool) -> tuple[float, float]:
    full_roi = Roi.from_shape(_shape(small))
    with ParallelVolume(str(folder / "volume.json"), workers=WORKERS) as volume:
        out = volume.target()
        measured = _repeat(2 if small else 50, lambda: volume.read(full_roi, out=out))
        if not np.array_equal(out, voxels(_shape(small))):
            raise AssertionError("wrong voxels")
    return measured


def _write(folder: Path, small: bool) -> tuple[float, float]:
    data = voxels(_shape(small))
    full_roi = Roi.from_shape(data.shape)
    folders: list[Path] = []

    with Engine(WORKERS) as engine:
        source: Any = None

        def new_volume() -> ParallelVolume:
            nonlocal source
            folders.append(Path(tempfile.mkdtemp(dir=folder)))
            if len(folders) > 1:
                empty_files(folders[-2])
            fileset = new_fileset(folders[-1], data.shape, EDGE)
            volume = ParallelVolume(fileset.address, engine=engine)
            if source is None:
                source = volume.target(data.shape, data.dtype)
                source[...] = data
            return volume

        measured = _repeat(2 if small else 16, new_volume, lambda volume: volume.write(full_roi, source))
        with ParallelVolume(str(folders[-1] / "volume.json"), engine=engine) as volume:
            if not np.array_equal(volume.read(full_roi), data):
                raise AssertionError("wrong voxels")
    empty_files(folders[-1])
    return measured


def _prepare_gaussian(folder: Path, small: bool) -> None:
    np.save(folder / "source.npy", voxels((128, 128, 128) if small else (256, 512, 512)))


def _gaussian_run(folder: Path, watch_memory: bool = False, **more: Any) -> Consumption:
    output = Path(tempfile.mkdtemp(dir=folder))
    fileset = {"address": str(output / "smooth.json"), "block_shape": [EDGE] * 3, "durability": "none"}
    job = {"input": str(folder / "source.npy"), "output": fileset, "workers": WORKERS}
    job |= {"operation": {"gaussian": {"sigma": SIGMA}}, **more}
    path = output / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    consumption = consumption_of([*_RUN, str(path)], watch_memory=watch_memory)
    empty_files(output)
    return consumption


def _gaussian(folder: Path, small: bool) -> tuple[float, float]:
    return _measure_runs(lambda: _gaussian_run(folder), 1 if small else 2)


def _memory(folder: Path, _small: bool) -> tuple[float, float]:
    consumption = _gaussian_run(folder, watch_memory=True)
    return consumption.peak_bytes / 1e6, consumption.cpu_s


def _measure_runs(run: Callable[[], Consumption], repeats: int) -> tuple[float, float]:
    runs = [run() for _ in range(repeats)]
    return min(run.duration_s for run in runs), sum(run.cpu_s for run in runs)


def _cold_start(folder: Path, small: bool) -> tuple[float, float]:
    one = {"roi": [[0, 0, 0], [EDGE] * 3], "block_shape": [EDGE] * 3}
    return _measure_runs(lambda: _gaussian_run(folder, **one), 1 if small else 3)


def _help(_folder: Path, small: bool) -> tuple[float, float]:
    command = [sys.executable, "-m", "blockmill", "--help"]
    return _measure_runs(lambda: consumption_of(command), 1 if small else 5)


ROWS = {
    "noop": Row("a block that does nothing, by `Engine.submit`", "us", _noop, _prepare_voxels),
    "request": Row("a block of one voxel, by `RoiRequestBatch`", "us", _request, _prepare_voxels),
    "results": Row("results of 4 MiB to a serial callback", "s", _results, _prepare_results),
    "read_raw_64": Row("merged read, raw 64^3 block files", "s", _read, _prepare_read),
    "write_raw_64": Row("merged write of new raw 64^3 block files", "s", _write),
    "gaussian": Row("`run`: gaussian, a file per 64^3 block", "s", _gaussian, _prepare_gaussian),
    "cold_start": Row("`run` of one 64^3 block", "s", _cold_start, _prepare_gaussian),
    "help": Row("`--help`", "s", _help),
    "memory": Row("`run` of the gaussian: most held by all processes", "MB", _memory, _prepare_gaussian),
    "coordinator": Row("most held by a process with an engine", "MB", _coordinator, _prepare_voxels),
}


def main() -> int:
    """Prepare or measure a row; print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    args = parser.parse_args()
    result: dict[str, Any] = {"blockmill": blockmill.__file__}
    if args.what == "prepare":
        ROWS[args.row].prepare(args.folder, args.small)
    else:
        result["figure"], result["cpu_s"] = ROWS[args.row].measure(args.folder, args.small)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

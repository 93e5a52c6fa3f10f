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
from typing import Any, get_type_hints

import numpy as np
import yaml

import blockmill
from blockmill import BigRequestStreamer, BlockGrid, Engine, ParallelVolume, Roi, RoiRequestBatch
from consumption import Consumed, consumed_by, cpu_of_tree_s, peak_of_this_bytes
from scratch import emptied
from smoothing import SIGMA
from volumes import QUICK_SHAPE, new_fileset, voxels

WORKERS = 2
RESULT_BLOCK = (64, 256, 256)  # 4 MiB
EDGE = 64
_RUN = [sys.executable, "-m", "blockmill", "run", "-q"]


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured: `measure` gives one figure in `unit` and processor seconds."""

    title: str
    unit: str
    measure: Callable[[Path, bool], tuple[float, float]]
    prepare: Callable[[Path, bool], None] = lambda folder, small: None


def _repeated(repeats: int, run: Callable[[], Any], timed: Callable[[Any], None] | None = None) -> Any:
    """Least seconds of some runs after a first one, and the processor seconds of all but that one.

    With `timed`, only that is timed, and is given what `run` has made ready.
    """
    took_s = []
    start_cpu_s = 0.0
    for number in range(repeats + 1):
        ready = run() if timed else None
        start_s = time.perf_counter()
        timed(ready) if timed else run()
        took_s.append(time.perf_counter() - start_s)
        if not number:
            start_cpu_s = cpu_of_tree_s()
    return min(took_s[1:]), cpu_of_tree_s() - start_cpu_s


def _prepare_voxels(folder: Path, _small: bool) -> None:
    np.save(folder / "source.npy", np.zeros((100_000, 1, 1), np.uint8))


def _columns(count: int) -> BlockGrid:
    return BlockGrid(Roi((0, 0, 0), (count, 1, 1)), (1, 1, 1))


def _submitted(folder: Path, engine: Engine, count: int) -> None:
    """Blocks that do nothing in the worker, with full bookkeeping.

    The classes of a job's specification have no public names; the public `Engine.submit` says which they
    are, wherever they lie and whatever its parameter is called. A field with another name in one of the
    two
    checkouts is another entry of `NOOP_RECIPES`.
    """
    spec = next(hint for name, hint in get_type_hints(Engine.submit).items() if name != "return")
    recipe = get_type_hints(spec)["recipe"]
    handle = engine.submit(spec(recipe=_made(recipe, folder / "source.npy"), blocks=_columns(count)))
    while not hasattr(end := handle.next(), "outcome"):
        pass
    if end.outcome != "done":
        raise AssertionError(f"{end.outcome}: {end}")


def _made(recipe: Any, source: Path) -> Any:
    for fields in NOOP_RECIPES:
        try:
            return recipe(**fields(str(source)))
        except TypeError:
            continue
    raise TypeError(f"no entry of NOOP_RECIPES fits {recipe}: add one with its fields")


NOOP_RECIPES: tuple[Callable[[str], dict[str, Any]], ...] = (
    lambda source: {"source": source, "probe": True},
)


def _noop(folder: Path, small: bool) -> tuple[float, float]:
    count = 500 if small else 5000
    with Engine(WORKERS) as engine:
        took_s, cpu_s = _repeated(20, lambda: _submitted(folder, engine, count))
    return took_s / count * 1e6, cpu_s


def _coordinator(folder: Path, small: bool) -> tuple[float, float]:
    with Engine(WORKERS) as engine:
        start_cpu_s = cpu_of_tree_s()
        _submitted(folder, engine, 10_000 if small else 100_000)
        cpu_s = cpu_of_tree_s() - start_cpu_s
    return peak_of_this_bytes() / 1e6, cpu_s


def _request(folder: Path, small: bool) -> tuple[float, float]:
    count = 500
    with Engine(WORKERS) as engine:
        took_s, cpu_s = _repeated(3 if small else 12, lambda: _requested(folder, engine, count))
    return took_s / count * 1e6, cpu_s


def _requested(folder: Path, engine: Engine, count: int) -> None:
    seen = 0

    def look(_roi: Any, _block: Any) -> None:
        nonlocal seen
        seen += 1

    batch = RoiRequestBatch(str(folder / "source.npy"), _columns(count), batch_size=64, engine=engine)
    batch.result_signal.subscribe(look)
    batch.execute()
    if seen != count:
        raise AssertionError(f"{seen} of {count} blocks came")


def _prepare_results(folder: Path, small: bool) -> None:
    np.save(folder / "source.npy", voxels((512 if small else 2048, 256, 256)))


def _results(folder: Path, small: bool) -> tuple[float, float]:
    path = folder / "source.npy"
    data = np.load(path, mmap_mode="r")
    right = int(data[:: RESULT_BLOCK[0], 0, 0].sum(dtype=np.int64))
    with Engine(WORKERS) as engine:
        return _repeated(2 if small else 16, lambda: _streamed(engine, path, data.shape, right))


def _streamed(engine: Engine, path: Path, shape: tuple[int, ...], right: int) -> None:
    total = 0

    def add(_roi: Any, block: Any) -> None:
        nonlocal total
        total += int(block[0, 0, 0])

    streamer = BigRequestStreamer(str(path), ((0, 0, 0), shape), RESULT_BLOCK, batch_size=8, engine=engine)
    streamer.result_signal.subscribe(add)
    streamer.execute()
    if total != right:
        raise AssertionError("wrong voxels")


def _shape(small: bool) -> tuple[int, int, int]:
    return (128, 128, 128) if small else QUICK_SHAPE


def _prepare_read(folder: Path, small: bool) -> None:
    data = voxels(_shape(small))
    new_fileset(folder, data.shape, EDGE).write(Roi.from_shape(data.shape), data)


def _read(folder: Path, small: bool) -> tuple[float, float]:
    whole = Roi.from_shape(_shape(small))
    with ParallelVolume(str(folder / "volume.json"), workers=WORKERS) as volume:
        out = volume.target()
        found = _repeated(2 if small else 50, lambda: volume.read(whole, out=out))
        if not np.array_equal(out, voxels(_shape(small))):
            raise AssertionError("wrong voxels")
    return found


def _write(folder: Path, small: bool) -> tuple[float, float]:
    data = voxels(_shape(small))
    whole = Roi.from_shape(data.shape)
    folders: list[Path] = []

    with Engine(WORKERS) as engine:
        source: Any = None

        def new_volume() -> ParallelVolume:
            nonlocal source
            folders.append(Path(tempfile.mkdtemp(dir=folder)))
            if len(folders) > 1:
                emptied(folders[-2])
            fileset = new_fileset(folders[-1], data.shape, EDGE)
            volume = ParallelVolume(fileset.address, engine=engine)
            if source is None:
                source = volume.target(data.shape, data.dtype)
                source[...] = data
            return volume

        found = _repeated(2 if small else 16, new_volume, lambda volume: volume.write(whole, source))
        with ParallelVolume(str(folders[-1] / "volume.json"), engine=engine) as volume:
            if not np.array_equal(volume.read(whole), data):
                raise AssertionError("wrong voxels")
    emptied(folders[-1])
    return found


def _prepare_gaussian(folder: Path, small: bool) -> None:
    np.save(folder / "source.npy", voxels((128, 128, 128) if small else (256, 512, 512)))


def _gaussian_run(folder: Path, watched: bool = False, **more: Any) -> Consumed:
    output = Path(tempfile.mkdtemp(dir=folder))
    fileset = {"address": str(output / "smooth.json"), "block_shape": [EDGE] * 3, "durability": "none"}
    job = {"input": str(folder / "source.npy"), "output": fileset, "workers": WORKERS}
    job |= {"operation": {"gaussian": {"sigma": SIGMA}}, **more}
    path = output / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    consumed = consumed_by([*_RUN, str(path)], watched=watched)
    emptied(output)
    return consumed


def _gaussian(folder: Path, small: bool) -> tuple[float, float]:
    return _started(lambda: _gaussian_run(folder), 1 if small else 2)


def _memory(folder: Path, _small: bool) -> tuple[float, float]:
    consumed = _gaussian_run(folder, watched=True)
    return consumed.peak_bytes / 1e6, consumed.cpu_s


def _started(run: Callable[[], Consumed], repeats: int) -> tuple[float, float]:
    all_of_them = [run() for _ in range(repeats)]
    return min(one.took_s for one in all_of_them), sum(one.cpu_s for one in all_of_them)


def _cold_start(folder: Path, small: bool) -> tuple[float, float]:
    one = {"roi": [[0, 0, 0], [EDGE] * 3], "block_shape": [EDGE] * 3}
    return _started(lambda: _gaussian_run(folder, **one), 1 if small else 3)


def _help(_folder: Path, small: bool) -> tuple[float, float]:
    command = [sys.executable, "-m", "blockmill", "--help"]
    return _started(lambda: consumed_by(command), 1 if small else 5)


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
    """Do what the command line asks for; prints JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    args = parser.parse_args()
    told: dict[str, Any] = {"blockmill": blockmill.__file__}
    if args.what == "prepare":
        ROWS[args.row].prepare(args.folder, args.small)
    else:
        told["figure"], told["cpu_s"] = ROWS[args.row].measure(args.folder, args.small)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())

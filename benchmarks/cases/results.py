"""Large results handed to one callback after another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockmill import BigRequestStreamer
from blockmill.daemon.engine.engine import Engine
from harness import Bench, Run
from peers import installed, pool, ray, with_service
from volumes import voxels

_BLOCK = (64, 256, 256)  # 4 MiB
_BATCH = 8


def results(bench: Bench) -> None:
    """Results of 4 MiB, handed to a serial callback."""
    data = voxels((512 if bench.quick else 8192, 256, 256))
    path = bench.scratch / "source.npy"
    np.save(path, data)
    starts = range(0, len(data), _BLOCK[0])
    with ExitStack() as stack:
        workers = stack.enter_context(pool(bench.cores))
        engine = stack.enter_context(Engine(bench.cores))
        contenders: dict[str, Callable[[], int]] = {
            "ours": lambda: _stream(engine, path, data),
            "Pool": lambda: _block_sum(workers.imap_unordered(_block, ((path, start) for start in starts))),
        }
        expected = _sum_of_corners(data)
        checked_runs: dict[str, Run] = {name: _checked(run, expected) for name, run in contenders.items()}
        if installed(bench, "ray"):
            ray_run = _checked(lambda module: _run_ray(module, path, list(starts)), expected)
            checked_runs["ray"] = with_service(partial(ray, bench.cores), ray_run)
        bench.race(checked_runs)
    bench.note(f"{data.nbytes >> 20} MiB in {len(starts)} blocks of a .npy file, copied by the workers")
    bench.note("the callback looks at one voxel of each block; ours and ray: 8 blocks under way")
    bench.rate(4, "GiB/s", data.nbytes / 2**30)
    bench.faster("ray", 4)
    bench.faster("Pool", 8)


def _checked(run: Callable[..., int], expected: int) -> Callable[..., None]:
    def checked_run(*args: Any) -> None:
        if run(*args) != expected:
            raise AssertionError("wrong voxels")

    return checked_run


def _sum_of_corners(data: NDArray[np.uint8]) -> int:
    return int(data[:: _BLOCK[0], 0, 0].sum(dtype=np.int64))


def _stream(engine: Engine, path: Path, data: NDArray[np.uint8]) -> int:
    total = 0

    def add(_roi: Any, block: NDArray[np.uint8]) -> None:
        nonlocal total
        total += int(block[0, 0, 0])

    roi = ((0, 0, 0), data.shape)
    streamer = BigRequestStreamer(str(path), roi, _BLOCK, batch_size=_BATCH, engine=engine)
    streamer.result_signal.subscribe(add)
    streamer.execute()
    return total


@cache
def _memory_map(path: Path) -> NDArray[np.uint8]:
    return np.load(path, mmap_mode="r")


def _block(job: tuple[Path, int]) -> NDArray[np.uint8]:
    path, start = job
    return np.array(_memory_map(path)[start : start + _BLOCK[0]])


def _block_sum(blocks: Any) -> int:
    return sum(int(block[0, 0, 0]) for block in blocks)


def _run_ray(module: Any, path: Path, starts: list[int]) -> int:
    task = module.remote(_block)
    waiting = [task.remote((path, start)) for start in starts[:_BATCH]]
    rest, total = starts[_BATCH:], 0
    while waiting:
        ready, waiting = module.wait(waiting, num_returns=1)
        if rest:
            waiting.append(task.remote((path, rest.pop(0))))
        total += int(module.get(ready[0])[0, 0, 0])
    return total

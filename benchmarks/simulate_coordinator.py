"""Measures the coordinator's cost per block, in time and memory, without sockets and processes.

    python benchmarks/simulate_coordinator.py [--blocks 1000000] [--workers 64]

Simulates one job after another of 1e3 blocks up to ``--blocks``: the answers of the workers come
in a random order, 1 % are failures, and now and then a worker is lost and another one starts.
Exits with 1 if a job of ``--blocks`` costs more than the bounds allow. The time is that of
`Coordinator.handle` alone, with the garbage collector on; the simulated workers are left out.
"""

import argparse
import gc
import random
import resource
import sys
import time
import tracemalloc
from dataclasses import dataclass

from blockmill.daemon.scheduling import events as ev
from blockmill.daemon.scheduling.coordinator import Coordinator

FAILURES = 0.01
LOSSES = 0.0001
_BURST = 256  # events per timed stretch: long against the cost of reading the clock


@dataclass
class Cost:
    """The cost of one job."""

    blocks: int
    seconds: float
    events: int
    retries: int
    losses: int

    @property
    def us_per_block(self) -> float:
        """Microseconds in the coordinator, per block."""
        return self.seconds / self.blocks * 1e6


class SimulatedWorkers:
    """Simulated workers: take the coordinator's actions, and make up answers in bursts.

    Parameters
    ----------
    count : int
        Number of workers at the start.
    seed : int
    """

    def __init__(self, count: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.open: list[ev.Assign] = []
        self.lost: set[int] = set()
        self.next_number = count
        self.losses = 0
        self.finish: ev.Finish | None = None

    def take(self, actions: list[ev.Action], merges: list[ev.Event]) -> None:
        """Carry out actions.

        Parameters
        ----------
        actions : list of Action
        merges : list of Event
            Takes the events of merges that are done.
        """
        for action in actions:
            if isinstance(action, ev.Assign):
                self.open.append(action)
            elif isinstance(action, ev.Merge):
                merges.append(ev.Merged(action.job, action.block))
            elif isinstance(action, ev.Finish):
                self.finish = action

    def answers(self) -> list[ev.Event]:
        """Make the next burst: answers to up to `_BURST` open leases in any order, a few of them failures."""
        events: list[ev.Event] = []
        draw, leases = self.rng.random, self.open
        for _ in range(min(_BURST, (len(leases) + 1) // 2)):
            index = int(draw() * len(leases))
            leases[index], leases[-1] = leases[-1], leases[index]
            lease = leases.pop()
            if lease.worker in self.lost:
                continue
            luck = draw()
            if luck < LOSSES:
                events += self._lose(lease.worker)
            elif luck < FAILURES:
                events.append(ev.Failed(lease.worker, lease.job, lease.block, lease.attempt, "simulated"))
            else:
                events.append(ev.Done(lease.worker, lease.job, lease.block, lease.attempt, 0.002))
        return events

    def _lose(self, worker: int) -> list[ev.Event]:
        self.lost.add(worker)
        self.losses += 1
        self.next_number += 1
        return [ev.Lost(worker, "simulated"), ev.Ready(self.next_number)]


def simulate(blocks: int, workers: int, merge: bool, seed: int = 0) -> Cost:
    """Run one job to its end.

    Parameters
    ----------
    blocks, workers : int
        Their numbers.
    merge : bool
        Blocks have results to merge.
    seed : int

    Returns
    -------
    Cost

    Raises
    ------
    RuntimeError
        If a block is missing at the end.
    """
    core, simulated = Coordinator(), SimulatedWorkers(workers, seed)
    job = ev.Submit("job", blocks, retries=1000, merge=merge, max_open=100 * workers)
    events: list[ev.Event] = [ev.Ready(number) for number in range(workers)]
    events.append(job)
    seconds, handled = 0.0, 0
    handle, clock = core.handle, time.perf_counter
    while simulated.finish is None:
        merges: list[ev.Event] = []
        start = clock()
        batches = [handle(event) for event in events]
        seconds += clock() - start
        handled += len(events)
        for actions in batches:
            simulated.take(actions, merges)
        events = merges or simulated.answers()
    progress = core.counts("job")
    if progress.done != blocks or simulated.finish.outcome != "done":
        raise RuntimeError(f"{blocks - progress.done} of {blocks} blocks are missing: {simulated.finish}")
    return Cost(blocks, seconds, handled, progress.retries, simulated.losses)


def memory_growth_bytes(blocks: int, workers: int) -> int:
    """Measure the peak of Python's allocations for a job, by tracemalloc.

    Parameters
    ----------
    blocks, workers : int
        Their numbers.

    Returns
    -------
    int
    """
    gc.collect()
    tracemalloc.start()
    simulate(blocks, workers, merge=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main() -> int:
    """Run, print a table, and compare with the bounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--most-us", type=float, default=20.0, help="bound, microseconds per block")
    parser.add_argument("--most-mib", type=float, default=64.0, help="bound, growth of the process")
    parser.add_argument("--memory-blocks", type=int, default=100_000, help="size of the traced pass")
    args = parser.parse_args()

    sizes = [size for size in (1_000, 10_000, 100_000) if size < args.blocks] + [args.blocks]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ok = True
    print(f"{args.workers} workers, {FAILURES:.0%} failures, {LOSSES:.2%} losses")
    print(f"{'blocks':>10} {'merge':>5} {'us/block':>9} {'events':>9} {'retries':>8} {'losses':>7}")
    for merge in (False, True):
        for size in sizes:
            cost = simulate(size, args.workers, merge)
            ok &= cost.us_per_block <= args.most_us
            row = f"{size:>10} {'yes' if merge else 'no':>5} {cost.us_per_block:>9.2f}"
            print(f"{row} {cost.events:>9} {cost.retries:>8} {cost.losses:>7}")
    growth_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    ok &= growth_mib <= args.most_mib
    print(f"growth of the process: {growth_mib:.1f} MiB (bound {args.most_mib:g})")
    traced = memory_growth_bytes(args.memory_blocks, args.workers)
    print(f"traced peak of {args.memory_blocks} blocks: {traced / 2**20:.2f} MiB")
    print("within the bounds" if ok else f"out of bounds ({args.most_us:g} us, {args.most_mib:g} MiB)")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

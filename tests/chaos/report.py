"""What was done and what was found in a run of one seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KINDS = ("worker", "nursery", "daemon", "run", "client", "all")
SIGNALS = ("KILL", "TERM", "STOP")


@dataclass
class Report:
    """Counts and defects.

    Attributes
    ----------
    hits, trial_hits : Counter
        Signals by (kind of target, signal): all, and those that came during the trial of a job's input and
        operation, before its first block.
    needless : int
        Blocks that were computed again though they were finished.
    waits_s : list of float
        From each look after the service to its answer; what it took to come back.
    """

    seed: int
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    trial_hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    rounds: int = 0
    jobs_done: int = 0
    begun_again: int = 0
    needless: int = 0
    last: str = "-"
    ending: bool = False

    @property
    def sent(self) -> int:
        """Signals so far; one to many processes at once counts once."""
        return self.hits.total()

    def hit(self, kind: str, name: str, in_trial: bool) -> None:
        """Count a signal."""
        self.hits[kind, name] += 1
        self.trial_hits[kind, name] += in_trial
        self.last = f"SIG{name} to {kind}" + " in a trial" * in_trial

    def defect(self, what: str, detail: object = "") -> None:
        """Note something that must not be, and print it at once."""
        where = "end" if self.ending else f"round {self.rounds}"
        line = f"seed {self.seed}, {where}, signal {self.sent} ({self.last}): {what}: {detail}"
        self.defects.append(line)
        print("DEFECT", line, flush=True)

    def summary(self, took_s: float) -> str:
        """All figures in some lines."""
        waits_s = sorted(self.waits_s) or [0.0]
        median_s, most_s = waits_s[len(waits_s) // 2], waits_s[-1]
        lines = [
            f"seed {self.seed}: {self.sent} signals, {self.rounds} rounds, {took_s:.0f} s",
            f"  {self.jobs_done} jobs done and compared",
            f"  {self.begun_again} blocks begun again, {self.needless} of them finished before",
            f"  the service answers again after {median_s:.2f} s (median), {most_s:.2f} s (most)",
            *(f"  {note}: {count}" for note, count in sorted(self.notes.items())),
            f"  {len(self.defects)} defects",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The same, for programs."""
        return {
            "seed": self.seed,
            "sent": self.sent,
            "rounds": self.rounds,
            "jobs": self.jobs_done,
            "begun_again": self.begun_again,
            "needless": self.needless,
            "defects": self.defects,
            "hits": {" ".join(key): count for key, count in self.hits.items()},
            "hits in the trial": {" ".join(key): count for key, count in self.trial_hits.items() if count},
        }


def table(reports: list[Report]) -> str:
    """How often each signal hit each kind of target; those in a trial stand beside as well."""
    hits = sum((report.hits for report in reports), Counter[tuple[str, str]]())
    in_trial = sum((report.trial_hits for report in reports), Counter[tuple[str, str]]())
    names = "".join(f"{name:>6}" for name in SIGNALS)
    lines = [f"{'target':<9}{names}   in the trial:{names}"]
    for kind in (*KINDS, "sum"):
        kinds = KINDS if kind == "sum" else (kind,)
        counts = ["".join(f"{sum(c[k, n] for k in kinds):>6}" for n in SIGNALS) for c in (hits, in_trial)]
        lines.append(f"{kind:<9}{counts[0]}{'':>16}{counts[1]}")
    return "\n".join(lines)

"""What was done and what was found in a run of one seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KINDS = ("worker", "nursery", "daemon", "run", "client", "all")
SIGNALS = ("KILL", "TERM", "STOP")
PHASES = ("trial", "work", "else")


@dataclass
class Report:
    """Counts and defects.

    Attributes
    ----------
    hits : Counter
        Signals by (phase, kind of target, signal). The phase is "trial" during that of a job's input and
        operation, before its first block, "work" while blocks are done, and "else".
    needless : int
        Blocks that were computed again though they were finished.
    waits_s : list of float
        From each look after the service to its answer; what it took to come back.
    """

    seed: int
    hits: Counter[tuple[str, str, str]] = field(default_factory=Counter)
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

    def hit(self, kind: str, name: str, phase: str) -> None:
        """Count a signal."""
        self.hits[phase, kind, name] += 1
        self.last = f"SIG{name} to {kind}, phase {phase}"

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
        }


def table(reports: list[Report]) -> str:
    """How often each signal hit each kind of target, in all and in each phase."""
    hits = _together(reports)
    names = "".join(f"{name:>5}" for name in SIGNALS)
    columns = {"all": PHASES, **{phase: (phase,) for phase in PHASES}}
    lines = [" " * 9 + "".join(f"{title:>15}  " for title in columns)]
    lines.append(f"{'target':<9}" + f"{names}  " * len(columns))
    for kind in (*KINDS, "sum"):
        kinds = KINDS if kind == "sum" else (kind,)
        cells = [_cell(hits, phases, kinds) for phases in columns.values()]
        lines.append(f"{kind:<9}" + "".join(f"{cell}  " for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _together(reports: list[Report]) -> Counter[tuple[str, str, str]]:
    return sum((report.hits for report in reports), Counter[tuple[str, str, str]]())


def _cell(hits: Counter[tuple[str, str, str]], phases: tuple[str, ...], kinds: tuple[str, ...]) -> str:
    return "".join(f"{sum(hits[p, k, name] for p in phases for k in kinds):>5}" for name in SIGNALS)


def never_hit(reports: list[Report]) -> list[str]:
    """What no signal came to; without these the absence of defects says nothing of them."""
    hits = _together(reports)
    wanted = [(phase, kind) for phase in ("trial", "work") for kind in ("worker", "nursery")]
    return [f"{kind} ({phase})" for phase, kind in wanted if not any(hits[phase, kind, n] for n in SIGNALS)]

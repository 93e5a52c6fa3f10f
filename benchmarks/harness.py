"""Races contenders in interleaved rounds: medians with their range, ratios within a round, goals."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Run = Callable[[], float | None]
GoalKind = Literal["faster", "within", "at most", "rate"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Median and range of some rounds."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Make the figure of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g} {self.high:.3g}]"


def race(contenders: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Run the contenders one after another, `rounds` + 1 times; the first round warms up and is dropped.

    Parameters
    ----------
    contenders : mapping of str to callable
        A contender that returns a number has measured itself (without its preparations, or something
        else than time); else the seconds of the call count.
    rounds : int

    Returns
    -------
    dict of str to list of float
        A value for each round.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            gc.collect()
            start_s = time.perf_counter()
            value = run()
            duration_s = time.perf_counter() - start_s
            if number:
                values[name].append(duration_s if value is None else value)
    return values


def _pairs(ours: Sequence[float], peer: Sequence[float]) -> list[tuple[float, float]]:
    """Pair values of the same rounds; of different races, each of ours with the peer's median."""
    if len(ours) != len(peer):
        peer = [statistics.median(peer)] * len(ours)
    return list(zip(ours, peer, strict=True))


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a contender has to reach.

    Attributes
    ----------
    text : str
        For people, without figures: "one h5py loop".
    kind : {"faster", "within", "at most", "rate"}
        `bound` times as fast as the peer; within `bound` times what the peer takes; at most `bound`
        after multiplication by `scale`; at least `bound` of `scale` divided by the value.
    bound : float
    ours : str
    peers : tuple of str
        The one with the lowest median counts.
    scale : float
    unit : str
    """

    text: str
    kind: GoalKind
    bound: float
    ours: str = "ours"
    peers: tuple[str, ...] = ()
    scale: float = 1.0
    unit: str = "x"

    @property
    def at_least(self) -> bool:
        """True if more is better."""
        return self.kind in ("faster", "rate")

    def measured(self, values: Mapping[str, Sequence[float]]) -> tuple[str, Figure] | None:
        """Return the best peer and the goal's figure, or None if one of them was not measured."""
        ours = values.get(self.ours)
        peer = min(
            (name for name in self.peers if name in values),
            key=lambda name: statistics.median(values[name]),
            default="",
        )
        if not ours or (self.peers and not peer):
            return None
        match self.kind:
            case "at most":
                return "", Figure.of([value * self.scale for value in ours])
            case "rate":
                return "", Figure.of([self.scale / value for value in ours])
            case "within":
                return peer, Figure.of([a / b for a, b in _pairs(ours, values[peer])])
            case "faster":
                return peer, Figure.of([b / a for a, b in _pairs(ours, values[peer])])

    def reached_by(self, figure: Figure) -> bool:
        """Test if the median reaches the bound."""
        return figure.median >= self.bound if self.at_least else figure.median <= self.bound


@dataclass
class Bench:
    """The settings of a case, and its results.

    Attributes
    ----------
    scratch : Path
        A folder on disk that is removed afterwards.
    quick : bool
        Small sizes, so that the case is over in seconds.
    rounds : int
    cores : int
        Workers of every contender that has some.
    """

    scratch: Path
    quick: bool
    rounds: int
    cores: int = 2
    values: dict[str, list[float]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unit: str = "s"

    def race(self, contenders: Mapping[str, Run]) -> None:
        """Race as the function `race` does, and keep the values."""
        self.values |= race(contenders, self.rounds)

    def faster(self, peers: str | tuple[str, ...], bound: float, text: str = "", ours: str = "ours") -> None:
        """Set a goal: at least `bound` times as fast as the best of `peers`.

        Parameters
        ----------
        peers : str or tuple of str
            Their names; the one with the lowest median counts.
        bound : float
        text : str
            For people; default: the first peer.
        ours : str
            Name of the contender that has the goal.
        """
        self._ratio("faster", peers, bound, text, ours)

    def within(self, peers: str | tuple[str, ...], bound: float, text: str = "", ours: str = "ours") -> None:
        """Set a goal: at most `bound` times what the best of `peers` takes.

        Parameters
        ----------
        peers : str or tuple of str
            Their names; the one with the lowest median counts.
        bound : float
        text : str
            For people; default: the first peer.
        ours : str
            Name of the contender that has the goal.
        """
        self._ratio("within", peers, bound, text, ours)

    def _ratio(
        self, kind: GoalKind, peers: str | tuple[str, ...], bound: float, text: str, ours: str
    ) -> None:
        names = (peers,) if isinstance(peers, str) else peers
        self.goals.append(Goal(text or names[0], kind, bound, ours, names))

    def at_most(self, bound: float, unit: str, scale: float, text: str = "", ours: str = "ours") -> None:
        """Set a goal: the value times `scale` is at most `bound`.

        Parameters
        ----------
        bound : float
        unit : str
            Of the bound.
        scale : float
        text : str
            For people; default: the unit.
        ours : str
            Name of the contender that has the goal.
        """
        self.goals.append(Goal(text or unit, "at most", bound, ours, scale=scale, unit=unit))

    def rate(self, bound: float, unit: str, amount: float, text: str = "", ours: str = "ours") -> None:
        """Set a goal: `amount` divided by the value is at least `bound`.

        Parameters
        ----------
        bound : float
        unit : str
            Of the bound.
        amount : float
        text : str
            For people; default: the unit.
        ours : str
            Name of the contender that has the goal.
        """
        self.goals.append(Goal(text or unit, "rate", bound, ours, scale=amount, unit=unit))

    def note(self, text: str) -> None:
        """Add a note for readers of the figures."""
        if text not in self.notes:
            self.notes.append(text)

    def results(self) -> dict[str, Any]:
        """All results, as plain JSON."""
        return {
            "unit": self.unit,
            "rounds": self.rounds,
            "quick": self.quick,
            "figures": {name: asdict(Figure.of(v)) for name, v in self.values.items()},
            "values": self.values,
            "goals": [self._goal_result(goal) for goal in self.goals],
            "notes": self.notes,
        }

    def _goal_result(self, goal: Goal) -> dict[str, Any]:
        measured = goal.measured(self.values)
        result: dict[str, Any] = {
            **asdict(goal),
            "at_least": goal.at_least,
            "measured": None,
            "reached": None,
        }
        if measured is not None:
            peer, figure = measured
            result |= {"measured": asdict(figure), "peer": peer, "reached": goal.reached_by(figure)}
        return result

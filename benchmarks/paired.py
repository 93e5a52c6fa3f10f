"""Judges a change by the figures of two checkouts that were measured in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_RATIO = 1.05
MAX_CPU_RATIO = 1.03
_MAX_WIDTH = 1.2
_RESAMPLES = 10_000
_SEED = 1
_TICK_S = 0.01  # the kernel's unit of processor time; less may be reported as 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one row: new against old.

    Attributes
    ----------
    ratio : float
        Median of the rounds' ratios new / old; above 1 the new one takes more.
    low, high : float
        Its 95 % bootstrap interval.
    cpu_ratio : float
        Processor seconds of all rounds, new / old.
    no_loss : bool
        True if `ratio` is at most 1.05, or the interval includes 1 and `cpu_ratio` is at most 1.03.
    """

    ratio: float
    low: float
    high: float
    cpu_ratio: float
    no_loss: bool

    @property
    def wide(self) -> bool:
        """True if the interval is so wide that the verdict says little."""
        return self.high / self.low > _MAX_WIDTH

    @property
    def unclear(self) -> bool:
        """True if there seems to be no loss, but a loss could look the same."""
        return self.no_loss and self.wide

    def __str__(self) -> str:
        text = "LOSS" if not self.no_loss else "no loss"
        if self.unclear:
            text = "UNCLEAR: a wide interval; take more rounds, or a quieter machine"
        return f"{self.ratio:.3f} [{self.low:.3f} {self.high:.3f}]  {self.cpu_ratio:.3f}  {text}"


def judge(
    old: Sequence[float], new: Sequence[float], old_cpu_s: Sequence[float], new_cpu_s: Sequence[float]
) -> Verdict:
    """Judge a row.

    Parameters
    ----------
    old, new : sequence of float
        A figure for each round, above 0, less is better; both in the order of the rounds.
    old_cpu_s, new_cpu_s : sequence of float
        Processor seconds of each round.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If there is no round, or the numbers of rounds differ.
    """
    if not len(old) == len(new) > 0:
        raise ValueError(f"{len(old)} and {len(new)} rounds: there must be as many of both, and one at least")
    ratios = np.log(np.asarray(new, float) / np.asarray(old, float))
    low, high = interval(ratios)
    ratio = float(np.exp(np.median(ratios)))
    cpu_ratio = (sum(new_cpu_s) + _TICK_S) / (sum(old_cpu_s) + _TICK_S)
    no_loss = ratio <= MAX_RATIO or (low <= 1 <= high and cpu_ratio <= MAX_CPU_RATIO)
    return Verdict(ratio, low, high, cpu_ratio, no_loss)


def interval(log_ratios: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median ratio; the same figures give the same interval."""
    rng = np.random.default_rng(_SEED)
    samples = rng.integers(0, len(log_ratios), (_RESAMPLES, len(log_ratios)))
    low, high = np.percentile(np.median(log_ratios[samples], axis=1), (2.5, 97.5))
    return float(np.exp(low)), float(np.exp(high))

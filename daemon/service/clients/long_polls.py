"""Long polls: calls whose answers are held back until there is news, bounded per user.

The bound is fair as shared buffers of switches are (Choudhury and Hahne, "Dynamic queue length
thresholds", 1998): a user may have as many pending calls as are still free, no more. So a single user
gets half of them, a second one a quarter, and there is always one for another user. One connection has a
fixed bound, so that a program that runs wild does not use up all calls of its user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

C = TypeVar("C")


class LongPolls(Generic[C]):
    """Pending long polls, bounded per user and per connection.

    Parameters
    ----------
    most, most_of_connection : int
        Most pending calls of all users, and of one connection.
    """

    def __init__(self, most: int, most_of_connection: int) -> None:
        self._most, self._most_of_connection = most, most_of_connection
        self._calls: list[tuple[int, Hashable, C]] = []
        self._of_user: Counter[int] = Counter()
        self._of_connection: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, uid: int, connection: Hashable, call: C) -> bool:
        """Add a pending call.

        Parameters
        ----------
        uid : int
            The user's number.
        connection : hashable
        call : object

        Returns
        -------
        bool
            False if the user or the connection has too many already; the call is not added then.
        """
        free = self._most - len(self._calls)
        if self._of_user[uid] >= free or self._of_connection[connection] >= self._most_of_connection:
            return False
        self._of_user[uid] += 1
        self._of_connection[connection] += 1
        self._calls.append((uid, connection, call))
        return True

    def take(self, try_answer: Callable[[C], bool]) -> None:
        """Remove each call for which `try_answer` returns True; it is called for all, in order of arrival."""
        self._calls = [item for item in self._calls if not try_answer(item[2])]
        self._of_user = Counter(uid for uid, _, _ in self._calls)
        self._of_connection = Counter(connection for _, connection, _ in self._calls)

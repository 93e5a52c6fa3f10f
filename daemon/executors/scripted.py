"""Workers of an `InlineExecutor` whose attempts fail and die as a script says, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...shared.messages import engine as wire
from .inline import TaskServer, WorkerDied


class Script:
    """The fate of attempts at blocks, and a list of those that were made; probes are left alone.

    Parameters
    ----------
    fails, dies : iterable of (int, int)
        Block and attempt of those that fail with an error, and of those that take their worker with them.
    before : callable
        Called with the task before each attempt, in the engine's thread.

    Attributes
    ----------
    tasks : list of (int, int)
        Block and attempt of those that were begun.
    """

    def __init__(
        self,
        fails: Iterable[tuple[int, int]] = (),
        dies: Iterable[tuple[int, int]] = (),
        before: Callable[[wire.Task], object] = lambda task: None,
    ) -> None:
        self.tasks: list[tuple[int, int]] = []
        self._fails = frozenset(fails)
        self._dies = frozenset(dies)
        self._before = before

    def begin(self, task: wire.Task) -> wire.TaskFailed | None:
        """Note an attempt; return its scripted failure, or None if it is to be made.

        Raises
        ------
        WorkerDied
            If the script says so.
        """
        self._before(task)
        attempt = (task.block, task.attempt)
        self.tasks.append(attempt)
        if attempt in self._dies:
            raise WorkerDied("it was killed by SIGKILL")
        if attempt in self._fails:
            return wire.TaskFailed(task.job, task.block, task.attempt, "the script says so")
        return None


class ScriptedServer:
    """The inside of a worker that follows a script.

    Parameters
    ----------
    server : TaskServer
        Makes the attempts that are to be made.
    script : Script
    """

    def __init__(self, server: TaskServer, script: Script) -> None:
        self._server = server
        self._script = script
        self._probes: set[str] = set()

    def handle(self, message: wire.Prepare | wire.MapSegment | wire.Forget) -> None:
        """Take a message about jobs or memory."""
        if isinstance(message, wire.Prepare) and message.recipe.probe:
            self._probes.add(message.job)
        self._server.handle(message)

    def do(self, task: wire.Task) -> wire.TaskReply:
        """Make an attempt, unless the script has another end for it."""
        scripted = None if task.job in self._probes else self._script.begin(task)
        return scripted or self._server.do(task)

    def close(self) -> None:
        """Close the volumes of all jobs."""
        self._server.close()

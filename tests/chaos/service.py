"""The service that is disturbed, and started again."""

from __future__ import annotations

import os
import subprocess
import time

import psutil

from blockmill import Client

from .report import Report
from .scene import Scene
from .striking import Hit, kill_all

_LOG = "service.log"
_BACK_S = 60.0
_END_S = 30.0


class Gone(Exception):
    """The service does not come back: there is no more to be seen in this run."""


class Service:
    """`blockmill serve` with two workers.

    Attributes
    ----------
    process : Popen
        The one that was started last.
    started_s : float
        When, by the clock.
    """

    def __init__(self, scene: Scene, report: Report) -> None:
        self._scene = scene
        self._report = report
        self.start()

    def start(self) -> None:
        """Start it, whatever became of the last one."""
        self.started_s = time.time()
        with (self._scene.folder / _LOG).open("ab") as log:
            self.process = self._scene.start("serve", "--workers", "2", log=log)

    @property
    def runs(self) -> bool:
        """Whether its process lives."""
        return self.process.poll() is None

    def ensure(self) -> None:
        """Have it answer.

        Raises
        ------
        Gone
            If it does not for a minute.
        """
        start_s, last = time.monotonic(), ""
        while time.monotonic() - start_s < _BACK_S:
            if not self.runs:
                if self.process.returncode not in (0, -9, -15):
                    told = f"exit code {self.process.returncode}, {self.log_tail()}"
                    self._report.defect("the service ended by itself", told)
                self.start()
            try:
                with Client(self._scene.socket, timeout_s=5) as client:
                    if client.service().pid == self.process.pid:
                        self._report.waits_s.append(time.monotonic() - start_s)
                        return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                last = repr(error)
            time.sleep(0.05)
        self._report.defect("the service does not come back within 60 s", f"{last} {self.log_tail()}")
        kill_all(self._scene)
        raise Gone

    def expect_end_after(self, hit: Hit | None) -> None:
        """Wait for its end if the hit asked for that: until then it still answers."""
        if hit in (("daemon", "TERM"), ("all", "TERM")) and self.runs:
            self.expect_end()

    def expect_end(self) -> None:
        """After SIGTERM it must end."""
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._report.defect("the service does not end 30 s after SIGTERM", self.log_tail())
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it, if it runs."""
        if self.runs:
            self.process.terminate()
            self.expect_end()

    def log_tail(self) -> str:
        """The end of its log."""
        return self._scene.text_of(_LOG)[-1500:]

    def note_open_files(self) -> None:
        """Note how many files it has open, if that is the most so far."""
        note, found = "most open files of the service", len(os.listdir(f"/proc/{self.process.pid}/fd"))
        self._report.notes[note] = max(self._report.notes[note], found)

    def family(self) -> set[int]:
        """Its process and all below it."""
        try:
            root = psutil.Process(self.process.pid)
            return {root.pid, *(child.pid for child in root.children(recursive=True))}
        except psutil.Error:
            return set()


def judge_log(scene: Scene, report: Report) -> None:
    """The log of all that it did must hold no traceback."""
    text = scene.text_of(_LOG)
    if "Traceback" in text:
        report.defect("traceback in the service's log", text[text.index("Traceback") :][:1500])

"""Collects facts about an installation that help to find a fault, as files of a tarball.

Never in it: voxels, job files, keys, tokens. Everything goes through `Scrubber`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from ...daemon.service.settings import Settings
from ...shared.config.keys import default_folder
from ...shared.config.layers import load_config
from ...shared.errors import BlockmillError, Refused
from ..service.client import Client
from .examine import examine
from .finding import Finding, as_lines
from .secrets import Scrubber

_MAX_JOBS, _MAX_FAILURES, _MAX_LINES = 50, 20, 300
_LOGS_OF_JOBS = 3
_PATIENCE_S = 5.0

Files = Iterator[tuple[str, str]]


def gather(socket: str | None) -> dict[str, bytes]:
    """Collect the files; return their contents by name."""
    scrub = Scrubber(_key_folders())
    findings = examine((), socket)
    files = [
        ("environment.json", _as_json(scrub.environment())),
        ("packages.txt", _packages()),
        *_doctor(findings),
        *_file("configuration.json", _configuration),
        *_service(socket),
        *_journals(),
    ]
    return {name: scrub(text).encode() for name, text in files}


def write(files: dict[str, bytes], path: Path) -> None:
    """Write a tarball that its owner alone may read.

    Parameters
    ----------
    files : dict of str to bytes
        Contents by name.
    path : Path
        Of the tarball; must not exist.

    Raises
    ------
    Refused
        If it can't be written, or exists.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"{path} can't be written: {error.strerror}; give another --output") from error
    top = path.name.split(".")[0]
    try:
        with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{top}/{name}")
                info.size, info.mtime, info.mode = len(content), int(time.time()), 0o600
                tar.addfile(info, io.BytesIO(content))
    except OSError as error:
        path.unlink()
        raise Refused(f"{path} can't be written: {error.strerror}; give another --output") from error


def _as_json(content: Any) -> str:
    return json.dumps(msgspec.to_builtins(content), indent=2, ensure_ascii=False) + "\n"


def _file(name: str, make: Any) -> Files:
    """Yield one file; if its content can't be had, one with the reason instead."""
    try:
        yield name, make()
    except (BlockmillError, OSError) as error:
        yield f"{name}.missing", f"{error}\n"


def _key_folders() -> list[Path]:
    folders = [default_folder()]
    with contextlib.suppress(BlockmillError):  # a wrong configuration is a part of the report
        folders.append(Settings.of(load_config().config).keys_dir)
    return folders


def _doctor(findings: Iterable[Finding]) -> Files:
    findings = list(findings)
    yield "doctor.txt", "\n".join(as_lines(findings)) + "\n"
    yield "doctor.json", _as_json(findings)


def _configuration() -> str:
    loaded = load_config()
    return _as_json({"sources": loaded.sources, "config": loaded.config.model_dump(mode="json")})


def _packages() -> str:
    names = {f"{d.metadata['Name']} {d.version}" for d in metadata.distributions()}
    return "\n".join(sorted(names, key=str.lower)) + "\n"


def _service(socket: str | None) -> Files:
    try:
        with Client(socket, timeout_s=_PATIENCE_S) as client:
            yield "service.json", _as_json({"service": client.service(), "workers": client.workers()})
            yield from _jobs(client)
    except (BlockmillError, OSError) as error:
        yield "service.missing", f"{error}\n"


def _jobs(client: Client) -> Files:
    jobs = client.jobs(limit=_MAX_JOBS)
    failed = [info for info in jobs if info.failed or info.state == "failed"]
    failures = {info.id: client.failures(info.id, limit=_MAX_FAILURES) for info in failed}
    yield "jobs.json", _as_json({"jobs": jobs, "failures": failures})
    for info in sorted(failed, key=lambda info: -info.id)[:_LOGS_OF_JOBS]:
        yield from _file(f"job-{info.id}.log", lambda number=info.id: _log(client, number))


def _log(client: Client, number: int) -> str:
    lines = deque(client.logs(number, offset=-1), maxlen=_MAX_LINES)
    return "".join(
        f"{line.time_s:.3f} {line.kind} {line.worker} {line.block} {line.text}\n" for line in lines
    )


def _journals() -> Files:
    """The last messages of systemd's units, if there are any that this account may read."""
    if not (tool := shutil.which("journalctl")):
        return
    for scope, name in (("--system", "journal.txt"), ("--user", "journal-user.txt")):
        command = [
            tool,
            scope,
            "-u",
            "blockmill",
            "-n",
            str(_MAX_LINES),
            "--no-pager",
            "-q",
            "-o",
            "short-iso",
        ]
        try:
            result = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            yield f"{name}.missing", f"{error}\n"
            continue
        if messages := (result.stdout or result.stderr).decode(errors="replace"):
            yield name, messages

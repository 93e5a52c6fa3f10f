"""Checks of the service: its configuration, its socket, the service itself, and its unit."""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ...shared.config.layers import load_config
from ...shared.config.model import Config
from ...shared.errors import BlockmillError, ConfigError, Refused, ServiceUnreachable
from ...shared.messages.service import ServiceInfo
from ...shared.units import format_count
from ..service.client import Client
from ..service.endpoint import UnixEndpoint, endpoint_of
from ..service.versions import older_side
from .finding import Finding, fail, ok, warn
from .reachable import check_reachable, own_path

_PATIENCE_S = 1.0
_PROPERTIES = "LoadState,ActiveState,UnitFileState,FragmentPath"


def check_config() -> tuple[Config, Finding]:
    """Read the configuration; return it, or the default one if it is wrong, with the finding."""
    try:
        loaded = load_config()
    except (ConfigError, OSError) as error:
        return Config(), fail("configuration", str(error), "mend that; see: blockmill config check")
    return loaded.config, ok("configuration", ", ".join(loaded.sources) or "none, all as by default")


def check_service(where: str | None) -> Iterator[Finding]:
    """Check that the service can be reached, and that it is of this version."""
    try:
        endpoint = endpoint_of(where)
        if isinstance(endpoint, UnixEndpoint):
            yield from check_socket(endpoint.path)
        with Client(where, timeout_s=_PATIENCE_S) as client:
            yield _check_version(client.service())
    except ServiceUnreachable as error:
        yield warn("service", str(error), "start one, or name another with --socket")
    except BlockmillError as error:
        yield fail("service", str(error), "give the right address, or the same version on both sides")


def check_socket(path: Path) -> Iterator[Finding]:
    """Check that only its owner (and group) may write to the folder of a socket, and that it is a socket."""
    folder = path.parent
    try:
        folder_stat = folder.stat()
        file_stat = path.lstat() if path.exists() else None
    except FileNotFoundError:
        return
    except PermissionError:
        yield fail("socket", f"{folder} is not for you", "are you in the group of the service? see: id")
        return
    mode = f"mode {stat.S_IMODE(folder_stat.st_mode):o}"
    if folder_stat.st_mode & stat.S_IWOTH and not folder_stat.st_mode & stat.S_ISVTX:
        yield fail(
            "socket", f"everybody may write to {folder} ({mode})", f"chmod 700 {folder}, or another --socket"
        )
    elif folder_stat.st_uid not in (0, os.getuid()) and (
        file_stat is None or file_stat.st_uid != folder_stat.st_uid
    ):
        yield fail("socket", f"{folder} is another user's", "give a --socket in a folder of yours")
    elif file_stat is not None and not stat.S_ISSOCK(file_stat.st_mode):
        yield fail("socket", f"{path} is no socket", "remove it, or give another --socket")
    else:
        yield ok("socket", f"{path} ({mode} of its folder)")


def _check_version(info: ServiceInfo) -> Finding:
    counts = f"{format_count(info.workers, 'worker')}, {format_count(info.jobs, 'job')}"
    text = f"version {info.version}, pid {info.pid}, {counts}"
    if older := older_side(info.version):
        finding, _, step = older.rpartition(": ")
        return warn("service", f"{text}; {finding}", step)
    return ok("service", text)


def check_systemd() -> Iterator[Finding]:
    """Check the units, if systemd runs."""
    tool = shutil.which("systemctl")
    if tool is None or not Path("/run/systemd/system").is_dir():
        yield ok("systemd", "does not run here; start the service with: blockmill serve")
        return
    installed = False
    for scope in ("--system", "--user"):
        if (unit := _unit(tool, scope)) is None:
            continue
        installed = installed or scope == "--system"
        yield _check_unit(scope, unit)
        if scope == "--user" and not Path("/var/lib/systemd/linger", getpass.getuser()).exists():
            yield warn("systemd", "your service ends when you log out", "loginctl enable-linger")
    yield from check_reach(installed)


def _unit(tool: str, scope: str) -> dict[str, str] | None:
    """Properties of the unit; None if there is no unit or no manager to ask."""
    command = [tool, scope, "show", "--property", _PROPERTIES, "blockmill.service"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    properties = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return properties if properties.get("LoadState", "not-found") != "not-found" else None


def _check_unit(scope: str, unit: dict[str, str]) -> Finding:
    active, enabled = unit.get("ActiveState"), unit.get("UnitFileState")
    text = f"{unit.get('FragmentPath')}: {unit.get('LoadState')}, {active}, {enabled}"
    if unit.get("LoadState") != "loaded" or active == "failed":
        return fail(
            "systemd", text, f"journalctl {scope.replace('--system', '')} -u blockmill".replace("  ", " ")
        )
    if active != "active":
        return warn("systemd", text, f"systemctl {scope} enable --now blockmill")
    return ok("systemd", text)


def check_reach(installed: bool) -> Iterator[Finding]:
    """Check that the account of a system unit can run this command: not if Python lies in a home."""
    try:
        check_reachable(Path(own_path()), Path(sys.executable).resolve(), Path(__file__))
    except Refused as error:
        severity = fail if installed else warn
        yield severity("reach", str(error), "that is for a service of the machine; your own one needs it not")
    except (BlockmillError, OSError) as error:
        yield warn("reach", str(error), "put blockmill on the PATH")
    else:
        yield ok("reach", "every account can run this command")

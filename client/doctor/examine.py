"""Runs all checks, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...daemon.service.settings import Settings
from ...shared.config.model import Config
from ...shared.errors import BlockmillError
from .disks import check_folder
from .finding import Finding, fail, warn
from .formats import check_formats
from .machine import check_machine
from .site import check_config, check_service, check_systemd
from .versions import check_versions


def examine(paths: Iterable[str], socket: str | None) -> list[Finding]:
    """Run all checks.

    Parameters
    ----------
    paths : iterable of str
        Further folders in which jobs will write.
    socket : str or None
        Of the service; None: the usual one.

    Returns
    -------
    list of Finding
    """
    return [*_guarded("versions", check_versions()), *_guarded("doctor", _examine(paths, socket))]


def _examine(paths: Iterable[str], socket: str | None) -> Iterator[Finding]:
    config, finding = check_config()
    devices: set[int] = set()
    yield finding
    yield from _guarded("machine", check_machine(config))
    yield from _guarded("formats", check_formats())
    yield from _guarded("state", check_folder(_state_dir(config), devices, state=True))
    for path in paths:
        if not Path(path).exists():
            yield warn("path", f"{path} does not exist", "the nearest folder above it is looked at")
        yield from _guarded(path, check_folder(Path(path), devices))
    yield from _guarded("service", check_service(socket))
    yield from _guarded("systemd", check_systemd())


def _state_dir(config: Config) -> Path:
    return Settings.of(config.model_copy(update={"socket": "unused"})).state_dir


def _guarded(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Turn an error of a check into a finding, so that the others go on."""
    try:
        yield from findings
    except (OSError, BlockmillError) as error:
        yield fail(check, f"could not be looked at: {error}", "the reason is in the message")

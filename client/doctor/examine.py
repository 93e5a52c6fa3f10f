"""All checks, in the order in which one depends on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...daemon.service.settings import Settings
from ...shared.config.model import Config
from ...shared.errors import BlockmillError
from .disks import check_folder
from .finding import Finding, fail, warn
from .machine import check_machine
from .site import check_config, check_service, check_systemd
from .versions import check_versions


def examine(paths: Iterable[str], socket: str | None) -> list[Finding]:
    """Look at everything; `paths` are further folders in which jobs will write."""
    return [*_guarded("versions", check_versions()), *_guarded("doctor", _examine(paths, socket))]


def _examine(paths: Iterable[str], socket: str | None) -> Iterator[Finding]:
    config, finding = check_config()
    tried: set[int] = set()
    yield finding
    yield from _guarded("machine", check_machine(config))
    yield from _guarded("state", check_folder(_state_dir(config), tried, state=True))
    for path in paths:
        if not Path(path).exists():
            yield warn("path", f"{path} does not exist", "the nearest folder above it is looked at")
        yield from _guarded(path, check_folder(Path(path), tried))
    yield from _guarded("service", check_service(socket))
    yield from _guarded("systemd", check_systemd())


def _state_dir(config: Config) -> Path:
    return Settings.of(config.model_copy(update={"socket": "unused"})).state_dir


def _guarded(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """A check that can't be made is a finding, too; the others go on."""
    try:
        yield from findings
    except (OSError, BlockmillError) as error:
        yield fail(check, f"could not be looked at: {error}", "the reason is in the message")

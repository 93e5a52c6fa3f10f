"""``blockmill service``: units of systemd, installed and removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ....shared.errors import Refused
from ...formatting.output import complain, say
from ..groups import SERVICE, group

_MARK = "@BLOCKMILL@"
_SYSTEM = {
    "blockmill.service": "etc/systemd/system/blockmill.service",
    "blockmill.socket": "etc/systemd/system/blockmill.socket",
    "blockmill@.service": "etc/systemd/system/blockmill@.service",
    "blockmill.sysusers": "usr/lib/sysusers.d/blockmill.conf",
    "blockmill.tmpfiles": "usr/lib/tmpfiles.d/blockmill.conf",
    "data.conf": "usr/share/doc/blockmill/data.conf",
}
_USER = {
    "user/blockmill.service": "systemd/user/blockmill.service",
    "user/blockmill.socket": "systemd/user/blockmill.socket",
}
_user = click.option("--user/--system", default=True, help="Your own service, or the machine's.")
_root = click.option("--root", default="/", metavar="DIR", help="Write below this folder, as packagers do.")


@group(SERVICE)
def command() -> None:
    """Units of systemd: install and remove them."""


@dataclass(frozen=True, slots=True)
class _UnitFolders:
    """The folders of units: those of the machine or of a user."""

    user: bool
    root: Path

    @property
    def files(self) -> dict[str, Path]:
        """Target path of each of blockmill's files by name."""
        if not self.user:
            return {name: self.root / path for name, path in _SYSTEM.items()}
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config").absolute()
        config = self.root / config.relative_to("/")
        return {name: config / path for name, path in _USER.items()}

    def systemctl(self, *words: str) -> None:
        """Call systemctl, if systemd runs and the files are not staged elsewhere."""
        import subprocess

        running = Path("/run/systemd/system").is_dir() and self.root == Path("/")
        if running and (tool := shutil.which("systemctl")):
            scope = ["--user"] if self.user else []
            subprocess.run([tool, *scope, *words], check=False)


@command.command("install")
@_user
@_root
@click.option("--command", "path", metavar="PATH", help="What the units start; default: this very command.")
def install(user: bool, root: str, path: str | None) -> int:
    """Write the units, and say how to start them."""
    from importlib import resources

    from ...doctor.reachable import check_reachable, own_path

    folders = _UnitFolders(user, Path(root))
    executable = path or own_path()
    if not user:
        needed = () if path else (Path(sys.executable).resolve(), Path(__file__))
        check_reachable(Path(executable), *needed)
    for name, target in folders.files.items():
        text = (resources.files("blockmill") / "systemd" / name).read_text()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace(_MARK, _quoted(executable)))
            target.chmod(0o644)
        except OSError as error:
            raise Refused(f"{target} can't be written: {error.strerror}; {_hint(user)}") from error
        say(str(target))
    if not user and folders.root == Path("/"):
        _make_account()
    folders.systemctl("daemon-reload")
    complain(_next_steps(user))
    return 0


@command.command("uninstall")
@_user
@_root
def uninstall(user: bool, root: str) -> int:
    """Stop the service and remove its units; its state and configuration stay."""
    folders = _UnitFolders(user, Path(root))
    folders.systemctl("disable", "--now", "blockmill.service", "blockmill.socket")
    for target in folders.files.values():
        with contextlib.suppress(FileNotFoundError):
            try:
                target.unlink()
            except PermissionError as error:
                raise Refused(f"{target} can't be removed: {error.strerror}; {_hint(user)}") from error
            say(str(target))
    folders.systemctl("daemon-reload")
    return 0


def _quoted(path: str) -> str:
    """Quote a path as one word of a unit's command line."""
    path = path.replace("%", "%%")
    if not set(path) & set(" \t\"'\\"):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _make_account() -> None:
    """Call systemd to make the account and the folders that the units need."""
    import subprocess

    for name, words in (("sysusers", []), ("tmpfiles", ["--create"])):
        if tool := shutil.which(f"systemd-{name}"):
            subprocess.run([tool, *words, f"/{_SYSTEM[f'blockmill.{name}']}"], check=False)


def _hint(user: bool) -> str:
    return "give --user for a service of your own" if not user else "is your home writable?"


def _next_steps(user: bool) -> str:
    if user:
        return (
            "start it now and at each login: systemctl --user enable --now blockmill\n"
            "or at the first request: systemctl --user enable --now blockmill.socket\n"
            "to go on after you have logged out: loginctl enable-linger"
        )
    return (
        "name the folders of your data in /etc/blockmill/config.yaml (access.data_roots) and in\n"
        "/etc/systemd/system/blockmill.service.d/data.conf (see /usr/share/doc/blockmill/data.conf), then:\n"
        "systemctl enable --now blockmill          # members of the group blockmill may submit jobs\n"
        "systemctl enable --now blockmill@ann      # or: a service of ann's alone"
    )

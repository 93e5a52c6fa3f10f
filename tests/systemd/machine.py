"""A real systemd as process 1 of namespaces of its own, over a private copy of the root file system."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYSTEMD = "/lib/systemd/systemd"
STOCK = """
    basic.target sysinit.target sockets.target shutdown.target umount.target final.target multi-user.target
    slices.target paths.target timers.target local-fs.target swap.target network.target network-online.target
    remote-fs.target systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket
    dbus.service dbus.socket systemd-exit.service exit.target rescue.target emergency.target
"""
PYTHON = "/opt/python/bin/python3"
COMMAND = "/opt/bin/blockmill"
LIMIT_S = 60

# Runs as process 1 of the new namespaces: mounts an overlay of /, moves into it, becomes systemd.
INIT = r"""
set -e
W=$1; R=$W/root
mount -t overlay overlay -o lowerdir=/,upperdir=$W/upper,workdir=$W/work $R
mount -t proc proc $R/proc
mount -t sysfs -o ro sysfs $R/sys
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $R/dev
for node in null zero full random urandom tty; do
    touch $R/dev/$node; mount --bind /dev/$node $R/dev/$node
done
mkdir $R/dev/pts $R/dev/shm $R/dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $R/dev/pts; ln -s pts/ptmx $R/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs $R/dev/shm
ln -s /proc/self/fd $R/dev/fd
mount -t tmpfs -o mode=755 tmpfs $R/run
mount -t tmpfs -o mode=1777 tmpfs $R/tmp
mkdir -p $R/run/lock $R/etc/systemd/system
while IFS=$'\t' read -r source target; do
    mkdir -p $R$target; mount --bind "$source" $R$target; mount -o remount,bind,ro $R$target
done < $W/shared
cp -aT $W/opt $R/opt/bin
ip link set lo up
cd $R; mkdir -p old; PATH=$PATH:/usr/sbin:/sbin pivot_root . old; umount -l /old
rm -rf /var/log/journal; echo 0123456789abcdef0123456789abcdef > /etc/machine-id
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/stock-units \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no </dev/null
"""


def why_not():
    """Why no such machine can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        tool for tool in ("unshare", "nsenter", "ip", "dbus-daemon", "systemctl") if not shutil.which(tool)
    ]
    if missing or not Path(SYSTEMD).exists():
        return f"needs {', '.join(missing) or 'systemd'}"
    if not any(line.split()[2] == "cgroup2" for line in Path("/proc/mounts").read_text().splitlines()):
        return "needs a mounted cgroup2"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "needs overlay file systems"
    return ""


class Machine:
    """The instance; `run` runs a command in it."""

    def __init__(self):
        # On a tmpfs: an overlay's upper folder can't lie on an overlay, which containers often have.
        self.folder = Path(tempfile.mkdtemp(prefix="bm-machine-", dir="/tmp"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", self.folder], check=True)
        for name in ("upper", "work", "root", "opt"):
            (self.folder / name).mkdir()
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        self.cgroup = Path(next(m[1] for m in mounts if m[2] == "cgroup2")) / f"bm-machine-{os.getpid()}"
        self.cgroup.mkdir()
        self._stock_units()
        self._blockmill()
        (self.folder / "init.sh").write_text(INIT)
        self._boot()

    def _stock_units(self):
        stock = self.folder / "upper" / "stock-units"
        for wants in ("sysinit.target.wants", "sockets.target.wants"):
            (stock / wants).mkdir(parents=True)
        for name in STOCK.split():
            if (unit := Path("/lib/systemd/system") / name).exists():
                shutil.copy(unit, stock / name)
        (stock / "sysinit.target.wants" / "systemd-journald.service").symlink_to(
            "../systemd-journald.service"
        )
        for name in ("systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket"):
            (stock / "sockets.target.wants" / name).symlink_to(f"../{name}")

    def _blockmill(self):
        """Python, the environment and the checkout, each where every account can reach it."""
        site = next(path for path in sys.path if path.endswith("site-packages"))
        (self.folder / "shared").write_text(
            f"{sys.base_prefix}\t/opt/python\n{site}\t/opt/site\n{ROOT}\t/opt/src/blockmill\n"
        )
        command = self.folder / "opt" / "blockmill"
        command.write_text(
            "#!/bin/sh\nexport PYTHONPATH=/opt/src:/opt/site PYTHONDONTWRITEBYTECODE=1\n"
            f'exec {PYTHON} -m blockmill "$@"\n'
        )
        command.chmod(0o755)

    def _boot(self):
        shut_in = "unshare --pid --mount --fork --cgroup --uts --ipc --net --propagation private"
        enter = f"echo $$ > {self.cgroup}/cgroup.procs; exec {shut_in}"
        self._outer = subprocess.Popen(
            ["sh", "-c", f"{enter} bash {self.folder}/init.sh {self.folder}"],
            stdin=subprocess.DEVNULL,
            stdout=os.open(self.folder / "console", os.O_WRONLY | os.O_CREAT),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + LIMIT_S
        while True:
            assert time.monotonic() < deadline and self._outer.poll() is None, self.console()
            self.pid = self._init_pid()
            if self.pid and self.run("systemctl", "is-system-running", code=None).stdout.strip() in (
                "running",
                "degraded",
            ):
                return
            time.sleep(0.1)

    def _init_pid(self):
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return children[0] if children else ""

    def console(self):
        return (self.folder / "console").read_text(errors="replace")

    def run(self, *words, code=0, stdin="", user=None):
        """Run a command inside; `code` None: whatever comes of it."""
        enter = ["nsenter", "-t", self.pid, "-p", "-m", "-u", "-i", "-n", "-C", "-r", "-w", "--"]
        clean = ["env", "-i", "PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        done = subprocess.run(
            [*enter, *clean, *become, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, (
                f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
            )
        return done

    def logs(self):
        return self.run("journalctl", "--no-pager", "-n", "40", code=None).stdout

    def show(self, unit, key):
        return self.run("systemctl", "show", unit, "-p", key, "--value").stdout.strip()

    def wait(self, true, what):
        deadline = time.monotonic() + LIMIT_S
        while not true():
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.logs()}"
            time.sleep(0.05)

    def close(self):
        if self.pid:
            subprocess.run(["kill", "-KILL", self.pid], check=False)
        self._outer.wait(10)
        deadline = time.monotonic() + 10
        while self.cgroup.exists() and time.monotonic() < deadline:
            subprocess.run(
                ["find", self.cgroup, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"],
                check=False,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(0.05)
        subprocess.run(["umount", "-l", self.folder], check=False)
        self.folder.rmdir()

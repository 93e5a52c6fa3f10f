"""A service that acts for several people: its workers become the owners of jobs, for good."""

import contextlib
import json
import os
import pwd
import random
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from blockmill.shared.system.impersonation import may_act

pytestmark = pytest.mark.skipif(not may_act(), reason="needs root, to be several people")
ANN, BEN = (pwd.getpwnam(name) for name in ("daemon", "nobody"))  # accounts that every machine has

ZARR = ["out.zarr"] if find_spec("tensorstore") else []

AS_USER = """
import json, os, sys
import blockmill.client.service.client, blockmill.shared.jobs.job, numpy, encodings.idna, zmq
os.setgroups([]); os.setresgid({gid}, {gid}, {gid}); os.setresuid({uid}, {uid}, {uid})
from blockmill import Client
with Client({socket!r}) as client:
    print(json.dumps([client.submit(job, overwrite=True).id for job in json.loads({jobs!r})]))
"""

STEPS = """
import ctypes, errno, gc, json, os, signal, socket, sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

def gated(block, context, gate):
    me = "-".join(map(str, (context.roi.start[0], os.getpid(), os.getuid())))
    Path(f"{gate}.begun-{me}").touch()
    while not Path(gate).exists() and not Path(f"{gate}-{context.roi.start[0]}").exists():
        libc.usleep(2000)
    return block

def holds_the_lock(block, context, gate):
    import re
    Path(f"{gate}.begun-{context.roi.start[0]}-{os.getpid()}-{os.getuid()}").touch()
    re.match(r"(a+)+$", "a" * 64 + "b")
    return block

def attempt(what, *args):
    try:
        result = what(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    if result == -1 and ctypes.get_errno():
        return errno.errorcode[ctypes.get_errno()]
    return "done"

def call(name, *args):
    ctypes.set_errno(0)
    return getattr(libc, name)(*args)

def status_of(task):
    lines = (line.partition(":") for line in Path(f"/proc/self/task/{task}/status").read_text().splitlines())
    return {key: value.split() for key, _, value in lines}

def tries_all(block, context, where, secret, others):
    tried = {
        "setuid": attempt(os.setuid, 0),
        "seteuid": attempt(os.seteuid, 0),
        "setresuid": attempt(os.setresuid, 0, 0, 0),
        "setgid": attempt(os.setgid, 0),
        "setgroups": attempt(os.setgroups, [0]),
        "shadow": attempt(Path("/etc/shadow").read_bytes),
        "secret": attempt(Path(secret).read_bytes),
        "chroot": attempt(os.chroot, "/"),
    }
    libc.setfsuid(0)
    libc.setfsgid(0)
    tried["secret after setfsuid"] = attempt(Path(secret).read_bytes)
    for name, pid in {"nursery": os.getppid(), **others}.items():
        tried[f"kill {name}"] = attempt(os.kill, pid, 0)
        tried[f"ptrace {name}"] = attempt(call, "ptrace", 16, pid, 0, 0)
        tried[f"memory of {name}"] = attempt(os.open, f"/proc/{pid}/mem", os.O_RDONLY)
        tried[f"files of {name}"] = attempt(os.listdir, f"/proc/{pid}/fd")
        for fd in range(64):
            if (told := attempt(os.open, f"/proc/{pid}/fd/{fd}", os.O_RDWR)) == "done":
                tried[f"file {fd} of {name}"] = told
    log = os.readlink("/proc/self/fd/1")
    tried["folder of the engine"] = attempt(os.listdir, os.path.dirname(log))
    with socket.socket(socket.AF_UNIX) as sock:
        tried["socket of the engine"] = attempt(sock.connect, os.path.join(os.path.dirname(log), "workers"))
    tasks = os.listdir("/proc/self/task")
    facts = {
        "tried": tried,
        "ids": sorted({" ".join(status_of(task)[name]) for task in tasks for name in ("Uid", "Gid")}),
        "groups": sorted({" ".join(status_of(task)["Groups"]) for task in tasks}),
        "capabilities": sorted({status_of(t)[f"Cap{n}"][0] for t in tasks for n in ("Prm", "Eff", "Amb")}),
        "inheritable": status_of(tasks[0])["CapInh"][0],
        "bounds": status_of(tasks[0])["CapBnd"][0],
        "no new privileges": status_of(tasks[0])["NoNewPrivs"][0],
        "threads": len(tasks),
        "home": os.environ["HOME"],
        "sessions": [name for name in os.environ if name.startswith("XDG_")],
        "folder": os.getcwd(),
    }
    Path(where).write_text(json.dumps(facts))
    return block

def speaks_for(block, context, worker):
    # What the worker has sent with is still there for whoever looks.
    wire = sys.modules["blockmill.shared.messages.engine"]
    zmq = sys.modules["zmq"]
    sockets = [one for one in gc.get_objects() if isinstance(one, zmq.Socket) and not one.closed]
    (sock,) = [one for one in sockets if one.identity.startswith(b"w")]
    done = wire.TaskDone("j2", 0, 1, 0.1)
    sock.send(wire.encode(wire.TaskReplies(worker, [done])))
    libc.sleep(60)
    return block

def prints_for(block, context, job):
    trailers = sys.modules["blockmill.shared.messages.log_trailers"]
    os.write(1, b"all is lost" + trailers.trailer(job, 0, 1))
    return block
"""


class People:
    """A place with a folder for each of two people, which no other may enter, and a service for both.

    The service runs as root, or as the units of systemd have it: an account with two capabilities.
    """

    def __init__(self, bench, place, kind):
        self.bench, self.place = bench, place
        self.account = None if kind == "root" else pwd.getpwnam("bin")
        if self.account is not None:
            self._run_as(self.account)
        self.voxels = np.random.default_rng(1).integers(0, 200, (40, 12, 10)).astype(np.uint8)
        (place / "steps.py").write_text(STEPS)
        for user in (ANN, BEN):
            self.folder(user).mkdir(mode=0o700)
            self.save(self.folder(user) / "in.npy", user)
            self.give(self.folder(user), user)

    def _run_as(self, account):
        bench, two = self.bench, "-all,+setuid,+setgid"
        as_account = (
            *with_python_shown(self.place),
            *("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"),
            *(f"--inh-caps={two}", f"--ambient-caps={two}", f"--bounding-set={two}", "--no-new-privs"),
        )
        if (why_not := unable_to_run(*as_account)) is not None:
            pytest.skip(why_not)
        bench.command = [*as_account, sys.executable, "-P", "-m", "blockmill"]
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            bench.environ[name] = str(self.place / name)
            (self.place / name).mkdir()
            self.give(self.place / name, account)
        os.chown(bench.socket.parent, account.pw_uid, -1)
        bench.folder.chmod(0o755)

    def folder(self, user):
        return self.place / user.pw_name

    def give(self, path, user, mode=0o700):
        os.chown(path, user.pw_uid, user.pw_gid)
        os.chmod(path, mode)

    def save(self, path, user, mode=0o600):
        np.save(path, self.voxels)
        self.give(path, user, mode)

    def serve(self, workers=2):
        service = self.bench.serve(workers=workers)
        assert psutil.Process(service.pid).uids().real == (0 if self.account is None else self.account.pw_uid)
        os.chmod(self.bench.socket.parent, 0o755)
        os.chmod(self.bench.socket, 0o666)

    def submit(self, user, *jobs):
        text = AS_USER.format(
            uid=user.pw_uid, gid=user.pw_gid, socket=str(self.bench.socket), jobs=json.dumps(jobs)
        )
        asked = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, cwd="/", timeout=60, check=False
        )
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)

    def job(self, user, output="out.npy", operation="copy", *, rows=10, **fields):
        folder = self.folder(user)
        block_shape = [rows, 12, 10]
        return {
            "input": str(folder / "in.npy"),
            "output": {
                "address": str(folder / output),
                **({"block_shape": block_shape} if ".json" in output else {}),
            },
            "block_shape": block_shape,
            "operation": operation,
            **fields,
        }

    def steps_job(self, user, function, args, output="out.npy", **fields):
        operation = {"python": {"function": f"steps:{function}", "args": args, "halo_check": False}}
        return self.job(user, output, operation, user_code=str(self.place), **fields)

    def gate(self, user):
        return str(self.folder(user) / "gate")

    def gated_job(self, user, output="out.npy", function="gated", **fields):
        return self.steps_job(user, function, {"gate": self.gate(user)}, output, **fields)

    def begun(self, user):
        """First row, worker and user of each attempt that was begun."""
        names = [path.name.removeprefix("gate.begun-") for path in self.folder(user).glob("gate.begun-*")]
        return [tuple(map(int, name.split("-"))) for name in names]

    def open_gate(self, user, row=None):
        path = Path(self.gate(user) + ("" if row is None else f"-{row}"))
        path.touch()
        os.chown(path, user.pw_uid, user.pw_gid)

    def done(self, *numbers, state="done"):
        """Wait for jobs to end, all in this state; their reasons."""
        with self.bench.client() as client:
            infos = [client.wait(number, timeout_s=100) for number in numbers]
        assert [info.state for info in infos] == [state] * len(infos), [info.reason for info in infos]
        return [info.reason for info in infos]

    def workers(self):
        (nursery,) = psutil.Process(self.bench.service.pid).children()
        return nursery.children()

    def written_by_others(self, user):
        """What lies in a person's folder and is not the person's."""
        paths = [self.folder(user), *self.folder(user).rglob("*")]
        return [str(path) for path in paths if path.lstat().st_uid != user.pw_uid]


def unable_to_run(*as_account):
    """Why no account but root can run this Python, as where it lies in root's home; None: it can."""
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import blockmill'], check=True)"
    command = [*as_account, sys.executable, "-c", again]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    except FileNotFoundError as error:
        return str(error)
    last = done.stderr.strip().rpartition("\n")[2]
    return f"no other account can run blockmill here: {last}" if done.returncode else None


# Has its own view of the file system, where the folder of Python is open although the home around it is not.
SHOW_PYTHON = """
set -e
mount --make-rprivate /
mount --bind "$BASE" "$HOLD"
mount -t tmpfs -o mode=755 none "$CLOSED"
mkdir -p "$BASE"
mount --move "$HOLD" "$BASE"
exec "$@"
"""


def with_python_shown(place):
    """What to put before a command, so that every account can run Python."""
    base = Path(sys.base_prefix).resolve()
    closed = [path for path in (*reversed(base.parents), base) if not path.stat().st_mode & 0o001]
    if not closed:
        return ()
    (place / "hold").mkdir()
    variables = (f"BASE={base}", f"HOLD={place / 'hold'}", f"CLOSED={closed[0]}")
    return ("env", *variables, "unshare", "--mount", "sh", "-c", SHOW_PYTHON, "sh")


@pytest.fixture
def people(bench, request):
    with tempfile.TemporaryDirectory(prefix="bm-owners-") as folder:
        os.chmod(folder, 0o755)
        yield People(bench, Path(folder), getattr(request, "param", "root"))


of_both_kinds = pytest.mark.parametrize("people", ["root", "account"], indirect=True)


@of_both_kinds
def test_every_file_of_an_output_is_the_owners(people, wait_until):
    """Also those of a half-done one that a killed service left, and of the run that goes on with it."""
    people.serve()
    outputs = ["out.npy", "out.h5/volume/data", "out.json", *ZARR]
    copies = people.submit(ANN, *(people.job(ANN, output) for output in outputs))
    people.done(*copies)
    for output in outputs:
        np.testing.assert_array_equal(people.bench.read(people.folder(ANN) / output), people.voxels)
    assert people.written_by_others(ANN) == []
    people.submit(BEN, people.gated_job(BEN), people.gated_job(BEN, "slow.json"))
    people.open_gate(BEN, 0)
    wait_until(lambda: len(people.begun(BEN)) >= 3, "blocks at work")
    people.bench.kill_service()
    assert people.written_by_others(BEN) == []
    people.open_gate(BEN)
    people.serve()
    people.done(*(number + len(outputs) for number in (1, 2)))
    assert {uid for _, _, uid in people.begun(BEN)} == {BEN.pw_uid}
    assert people.written_by_others(BEN) == []
    people.bench.end_service()


def test_a_volume_of_somebody_else_is_refused_whatever_its_format(people):
    folder = people.folder(ANN)
    os.chmod(folder, 0o755)  # only the files themselves are kept from others
    people.serve()
    outputs = ["out.h5/volume/data", "out.json", *ZARR]
    people.done(*people.submit(ANN, *(people.job(ANN, output) for output in outputs)))
    blocks = [*(folder / "out_blocks").rglob("*.h5"), *(folder / "out.zarr").rglob("0")]
    blocks = [path for path in blocks if path.is_file()]
    assert blocks
    for path in (folder / "out.h5", *blocks):
        os.chmod(path, 0o600)
    for path in folder.rglob("*"):
        if path not in (folder / "out.h5", folder / "in.npy", *blocks):
            os.chmod(path, 0o755)
    inputs = [folder / name for name in ("in.npy", *outputs)]
    jobs = [people.job(BEN, f"copy{n}.npy") | {"input": str(path)} for n, path in enumerate(inputs)]
    reasons = people.done(*people.submit(BEN, *jobs), state="failed")
    assert all("ermission" in reason or "may not" in reason for reason in reasons), reasons
    people.bench.end_service()


@of_both_kinds
def test_user_code_gets_nothing_back(people, wait_until):
    secret = people.place / "secret"
    secret.write_text("x")
    people.give(secret, people.account or pwd.getpwuid(0), 0o600)
    people.bench.environ["XDG_DATA_HOME"] = "/root/.local/share"
    people.serve()
    (slow,) = people.submit(ANN, people.gated_job(ANN, workers=1))
    wait_until(lambda: len(people.begun(ANN)) == 1, "a worker of somebody else")
    others = {"service": people.bench.service.pid, "the worker of somebody else": people.begun(ANN)[0][1]}
    where = people.folder(BEN) / "told.json"
    args = {"where": str(where), "secret": str(secret), "others": others}
    people.done(*people.submit(BEN, people.steps_job(BEN, "tries_all", args, rows=40)))
    told = json.loads(where.read_text())
    denied = ("EPERM", "EACCES", "ENOENT")  # the last one where the processes of others are hidden
    assert {what: how for what, how in told["tried"].items() if how not in denied} == {}
    assert len(told["tried"]) == 9 + 3 * 4 + 2
    assert told["ids"] == sorted({" ".join([str(n)] * 4) for n in (BEN.pw_uid, BEN.pw_gid)})
    groups = os.getgrouplist(BEN.pw_name, BEN.pw_gid)
    assert [sorted(map(int, one.split())) for one in told["groups"]] == [sorted(groups)]
    assert told["threads"] >= 3
    assert {int(bits, 16) for bits in told["capabilities"]} == {0}
    assert (int(told["inheritable"], 16), told["no new privileges"]) == (0, "1")
    assert (told["home"], told["sessions"], told["folder"]) == (BEN.pw_dir, [], "/")
    people.open_gate(ANN)
    people.done(slow)
    people.bench.end_service()


@of_both_kinds
@pytest.mark.parametrize("function", ["gated", "holds_the_lock"])
def test_no_worker_outlives_a_service_that_is_killed(people, wait_until, function):
    people.serve()
    people.submit(ANN, people.gated_job(ANN, function=function, workers=1))
    people.submit(BEN, people.gated_job(BEN, function=function, workers=1))
    wait_until(lambda: people.begun(ANN) and people.begun(BEN), "a worker of each")
    assert {worker.uids().real for worker in people.workers()} == {ANN.pw_uid, BEN.pw_uid}
    people.bench.kill_service()


@of_both_kinds
def test_a_job_that_is_cancelled_ends_its_workers(people, wait_until):
    """A signal reaches them, whoever they are by now; one that does not heed it is killed."""
    people.serve()
    numbers = people.submit(ANN, people.gated_job(ANN, function="holds_the_lock", workers=1))
    numbers += people.submit(BEN, people.gated_job(BEN, workers=1))
    wait_until(lambda: people.begun(ANN) and people.begun(BEN), "a worker of each")
    with people.bench.client() as client:
        for number in numbers:
            client.cancel(number)
    people.done(*numbers, state="cancelled")
    people.open_gate(ANN)
    people.open_gate(BEN)
    people.done(*people.submit(ANN, people.job(ANN)), *people.submit(BEN, people.job(BEN)))
    people.bench.end_service()


def test_two_people_share_the_workers(people, wait_until):
    people.serve()
    numbers = people.submit(ANN, people.gated_job(ANN, rows=4))
    wait_until(lambda: len(people.begun(ANN)) == 2, "both workers")
    numbers += people.submit(BEN, people.gated_job(BEN, rows=4))
    people.open_gate(ANN, min(people.begun(ANN))[0])
    wait_until(lambda: people.begun(BEN), "a block of who came later")
    for row in sorted(row for row, *_ in people.begun(BEN)):
        people.open_gate(BEN, row)
    wait_until(lambda: len(people.begun(BEN)) == 2, "the next one")
    assert len(people.begun(ANN)) == 2  # a worker each by now
    assert {worker.uids().real for worker in people.workers()} == {ANN.pw_uid, BEN.pw_uid}
    people.open_gate(ANN)
    people.open_gate(BEN)
    people.done(*numbers)
    for user in (ANN, BEN):
        np.testing.assert_array_equal(np.load(people.folder(user) / "out.npy"), people.voxels)
        assert {uid for _, _, uid in people.begun(user)} == {user.pw_uid}
    people.bench.end_service()


def test_jobs_of_two_people_one_after_the_other_lose_nothing(people):
    people.serve(workers=1)
    for turn in range(3):
        for user in (ANN, BEN):
            job = people.job(user, f"out{turn}.npy", {"threshold": {"above": 50}})
            people.done(*people.submit(user, job))
    assert {worker.uids().real for worker in people.workers()} <= {ANN.pw_uid, BEN.pw_uid}
    for user in (ANN, BEN):
        for turn in range(3):
            voxels = np.load(people.folder(user) / f"out{turn}.npy")
            np.testing.assert_array_equal(voxels != 0, people.voxels > 50)
    people.bench.end_service()


@of_both_kinds
def test_workers_of_two_people_that_are_killed_lose_nothing(people):
    """Some of them while they change: each death is followed by a change."""
    people.serve(workers=3)
    random_ = random.Random(7)
    numbers, smooth = [], {"gaussian": {"sigma": 1}}
    for user in (ANN, BEN):
        jobs = [people.job(user, f"out{n}.npy", smooth, rows=2, retries=50) for n in range(4)]
        jobs += [people.job(user, f"out{n}.json", rows=2, retries=50) for n in range(2)]
        numbers += people.submit(user, *jobs)
    for _ in range(60):
        time.sleep(random_.uniform(0.01, 0.1))  # at any moment
        if workers := people.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                random_.choice(workers).send_signal(signal.SIGKILL)
    people.done(*numbers)
    expected = np.load(people.folder(ANN) / "out0.npy")
    for user in (ANN, BEN):
        for n in range(4):
            np.testing.assert_array_equal(np.load(people.folder(user) / f"out{n}.npy"), expected)
        for n in range(2):
            np.testing.assert_array_equal(
                people.bench.read(people.folder(user) / f"out{n}.json"), people.voxels
            )
        assert people.written_by_others(user) == []
    people.bench.end_service()


def test_a_worker_speaks_for_itself_alone(people, wait_until):
    """An answer in the name of another worker would mark a block of somebody else as done."""
    people.serve()
    (slow,) = people.submit(ANN, people.gated_job(ANN, workers=1))
    wait_until(lambda: people.begun(ANN), "a block of somebody else")
    pid = people.begun(ANN)[0][1]
    with people.bench.client() as client:
        wait_until(lambda: pid in [worker.pid for worker in client.workers()], "news of it")
        (victim,) = [worker.worker for worker in client.workers() if worker.pid == pid]
    job = people.steps_job(BEN, "speaks_for", {"worker": victim}, rows=40, retries=0, on_error="fail")
    with people.bench.client() as client:
        (number,) = people.submit(BEN, job)
        info = client.wait(number, timeout_s=60)
        assert info.state in ("failed", "done_with_failures")
        assert "spoke for another worker" in info.reason
        assert client.job(slow).done == 0
    people.open_gate(ANN)
    people.done(slow)
    np.testing.assert_array_equal(np.load(people.folder(ANN) / "out.npy"), people.voxels)
    people.bench.end_service()


def test_a_worker_writes_into_no_log_of_somebody_else(people, wait_until):
    people.serve()
    (slow,) = people.submit(ANN, people.gated_job(ANN, workers=1))
    wait_until(lambda: people.begun(ANN), "a block of somebody else")
    numbers = [
        people.submit(BEN, people.steps_job(BEN, "prints_for", {"job": f"j{n}"}, rows=40))[0] for n in (1, 2)
    ]
    people.done(*numbers)
    people.open_gate(ANN)
    people.done(slow)
    with people.bench.client() as client:
        printed = {number: [line.text for line in client.logs(number)] for number in (slow, *numbers)}
    assert "all is lost" not in str(printed[slow])
    for number in numbers:  # it is for the people themselves, of whatever job
        assert "all is lost" in str(printed[number])
    people.bench.end_service()

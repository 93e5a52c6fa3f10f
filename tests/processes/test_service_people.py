"""Several people at one service: what each may touch, see and end."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

import blockmill
from blockmill.shared.errors import Refused, ServiceUnreachable
from blockmill.shared.system.impersonation import may_act

pytestmark = pytest.mark.skipif(not may_act(), reason="needs root, to be several people")
OTHER = pwd.getpwnam("nobody")

AS_OTHER = """
import json, os, sys
os.setgroups({groups}); os.setresgid({gid}, {gid}, {gid}); os.setresuid({uid}, {uid}, {uid})
from blockmill import Client
from blockmill.shared.errors import BlockmillError
answers = []
with Client({socket!r}) as client:
    for verb, args, options in json.loads({calls!r}):
        try:
            answer = getattr(client, verb)(*args, **options)
            answers.append(["ok", getattr(answer, "id", None)])
        except BlockmillError as error:
            answers.append([type(error).__name__, str(error)])
print(json.dumps(answers))
"""


@pytest.fixture
def place():
    """A folder that everybody may enter; what is in it has its own rights."""
    with tempfile.TemporaryDirectory(prefix="bm-people-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def as_other(bench, *calls, groups=()):
    """Ask the service as another user: the imports are done before, for Python may be ours alone to read."""
    text = AS_OTHER.format(
        uid=OTHER.pw_uid,
        gid=OTHER.pw_gid,
        groups=list(groups),
        socket=str(bench.socket),
        calls=json.dumps(calls),
    )
    head = "import blockmill.client.service.client, blockmill.shared.jobs.job, numpy, encodings.idna, zmq\n"
    done = subprocess.run(
        [sys.executable, "-c", head + text], capture_output=True, text=True, cwd="/", timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def open_socket(bench):
    """What a group does for its members: let the other user come to the socket."""
    os.chmod(bench.socket.parent, 0o755)
    os.chmod(bench.socket, 0o666)


def write(path, voxels, owner, mode):
    np.save(path, voxels)
    os.chown(path, owner, -1)
    os.chmod(path, mode)


def copy_job(source, output):
    return {"input": str(source), "output": str(output), "operation": "copy"}


def test_files_are_used_as_the_owner_of_the_job(bench, place):
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER.pw_uid, OTHER.pw_gid)
    os.chmod(theirs, 0o700)
    write(place / "public.npy", voxels, 0, 0o644)
    write(place / "secret.npy", voxels, 0, 0o600)
    (theirs / "link.npy").symlink_to(place / "secret.npy")
    bench.serve()
    open_socket(bench)
    outputs = [theirs / "copy.npy", theirs / "copy.json", theirs / "copy.h5"]
    jobs = [
        copy_job(place / "public.npy", outputs[0]),
        copy_job(place / "public.npy", outputs[1]),
        copy_job(place / "public.npy", f"{outputs[2]}/data"),
        copy_job(place / "secret.npy", theirs / "x.npy"),
        copy_job(theirs / "link.npy", theirs / "y.npy"),
        copy_job(place / "public.npy", place / "not-theirs.npy"),
    ]
    answers = as_other(bench, *[("submit", [job], {}) for job in jobs])
    assert [kind for kind, _ in answers] == ["ok"] * 6
    with bench.client() as client:
        infos = [client.wait(number, timeout_s=60) for _, number in answers]
    assert [info.state for info in infos] == ["done"] * 3 + ["failed"] * 3, [info.reason for info in infos]
    assert {info.owner for info in infos} == {OTHER.pw_uid}
    assert all("ermission" in info.reason for info in infos[3:])
    for output in outputs:
        assert output.stat().st_uid == OTHER.pw_uid
    blocks = [p for p in (theirs).rglob("*.h5") if p != outputs[2]]
    assert blocks and {p.stat().st_uid for p in blocks} == {OTHER.pw_uid}
    np.testing.assert_array_equal(np.load(outputs[0]), voxels)
    assert sorted(p.name for p in place.iterdir()) == ["public.npy", "secret.npy", "theirs"]
    bench.end_service()


def test_only_owner_and_admins_see_into_and_end_a_job(bench, wait_until):
    bench.volume()
    bench.serve()
    open_socket(bench)
    number = bench.submit(bench.gated_job(free=0))
    wait_until(lambda: bench.begun(), "a block at work")
    spied = as_other(
        bench,
        ("cancel", [number], {}),
        ("retry", [number], {}),
        ("pause", [number], {}),
        ("set_priority", [number, 5], {}),
        ("failures", [number], {}),
        ("pause", [], {}),
        ("drain", [], {}),
        ("set_workers", [1], {}),
        ("jobs", [], {}),
        ("service", [], {}),
    )
    assert [kind for kind, _ in spied] == ["Refused"] * 8 + ["ok"] * 2
    assert f"job {number} belongs to root, who alone may cancel it" in spied[0][1]
    assert "only an admin of the service may drain it" in spied[6][1]
    with bench.client() as client:
        assert (client.job(number).state, client.job(number).paused) == ("running", False)
    bench.open_gate()
    bench.run("wait", str(number))
    bench.end_service()


def test_who_is_not_in_the_group_does_not_come_in(bench, place):
    bench.socket = place / "run" / "s"
    bench.environ["BLOCKMILL_SOCKET"] = str(bench.socket)
    bench.environ["BLOCKMILL__ACCESS__GROUP"] = "users"
    bench.serve()
    users = grp.getgrnam("users").gr_gid
    assert (bench.socket.stat().st_mode & 0o777, bench.socket.stat().st_gid) == (0o660, users)
    assert (bench.socket.parent.stat().st_mode & 0o777, bench.socket.parent.stat().st_gid) == (0o750, users)
    ((kind, why),) = as_other(bench, ("service", [], {}))
    assert kind == "ServiceUnreachable" and "are you in its group?" in why
    assert as_other(bench, ("service", [], {}), groups=[users]) == [["ok", None]]
    bench.end_service()


def test_a_service_of_the_machine_takes_no_job_until_it_is_told_what_it_may_touch(bench, place):
    bench.volume()
    bench.serve("--system")
    copy = bench.job(input="in.npy", output="out.npy", operation="copy")
    _, err = bench.run("submit", "--no-check", copy, code=6)
    assert "nothing is, yet" in err
    assert "access.data_roots" in err
    bench.end_service()
    bench.environ["BLOCKMILL__ACCESS__DATA_ROOTS"] = json.dumps([str(bench.folder)])
    bench.serve("--system")
    bench.run("submit", "--wait", copy)
    bench.end_service()


def test_too_many_jobs_are_refused_and_the_limit_is_named(bench):
    bench.volume()
    bench.environ["BLOCKMILL__LIMITS__JOBS_PER_USER"] = "2"
    bench.environ["BLOCKMILL__LIMITS__BLOCKS_PER_USER"] = "3"
    bench.serve()
    with bench.client() as client:
        client.pause()
        for name in "ab":
            client.submit(
                {
                    "input": str(bench.folder / "in.npy"),
                    "output": f"{bench.folder}/{name}.npy",
                    "operation": "copy",
                }
            )
        with pytest.raises(Refused, match=r"2 jobs of yours .*limits.jobs_per_user"):
            client.submit(
                {
                    "input": str(bench.folder / "in.npy"),
                    "output": f"{bench.folder}/c.npy",
                    "operation": "copy",
                }
            )
        client.resume()
        client.wait(1), client.wait(2)
        many = client.submit(
            {
                "input": str(bench.folder / "in.npy"),
                "output": f"{bench.folder}/d.npy",
                "operation": "copy",
                "block_shape": [10, 30, 20],
            }
        )
        info = client.wait(many.id)
    assert info.state == "failed" and "limits.blocks_per_user" in info.reason
    bench.end_service()


@pytest.fixture
def keys(bench, place):
    """A service's keys and a client's, as two machines would have them."""
    service, client = place / "service-keys", place / "client-keys"
    bench.run("keys", "new", "service", "--folder", str(service))
    bench.run("keys", "new", "--folder", str(client))
    bench.environ |= {"BLOCKMILL__TCP__KEYS": str(service), "BLOCKMILL__TCP__LISTEN": "127.0.0.1:0"}
    return service, client


@contextlib.contextmanager
def over_tcp(monkeypatch, service, client, port):
    monkeypatch.setenv("BLOCKMILL_KEY", str(client / "client.key_secret"))
    monkeypatch.setenv("BLOCKMILL_SERVICE_KEY", str(service / "service.key"))
    with blockmill.Client(f"tcp://127.0.0.1:{port}", timeout_s=3) as remote:
        yield remote


def port_of(bench):

    (listening,) = [
        c for c in psutil.Process(bench.service.pid).net_connections("tcp") if c.status == "LISTEN"
    ]
    return listening.laddr.port


def test_tcp_takes_only_allowed_keys_and_each_change_counts_at_once(bench, keys, monkeypatch):
    service, client = keys
    _, err = bench.run("serve", "--workers", "1", code=6)  # nobody is allowed: it does not even start
    assert "blockmill keys allow" in err
    stranger = bench.folder / "stranger"
    bench.run("keys", "new", "--folder", str(stranger))
    bench.run("keys", "allow", str(stranger / "client.key"), "--account", "daemon", "--folder", str(service))
    bench.run("keys", "revoke", "daemon", "--folder", str(service))
    bench.run("keys", "allow", str(client / "client.key"), "--account", "root", "--folder", str(service))
    bench.volume()
    bench.serve()
    port = port_of(bench)
    with over_tcp(monkeypatch, service, stranger, port) as remote, pytest.raises(ServiceUnreachable):
        remote.service()
    with over_tcp(monkeypatch, service, client, port) as remote:
        number = remote.submit(bench.folder / bench.job(input="in.npy", output="o.npy", operation="copy")).id
        info = remote.wait(number, timeout_s=60)
        assert (info.state, info.owner) == ("done", 0)
        bench.run("keys", "revoke", "root", "--folder", str(service))
        with pytest.raises(Refused, match="revoked"):  # also for what is open
            remote.jobs()
    bench.run("keys", "allow", str(stranger / "client.key"), "--account", "nobody", "--folder", str(service))
    with (
        over_tcp(monkeypatch, service, stranger, port) as remote,
        pytest.raises(Refused, match="belongs to root"),
    ):
        remote.cancel(number)
    shutil.copy(stranger / "client.key", place_of_wrong := bench.folder / "wrong.key")
    monkeypatch.setenv("BLOCKMILL_SERVICE_KEY", str(place_of_wrong))  # a service that only claims to be it
    with (
        blockmill.Client(f"tcp://127.0.0.1:{port}", timeout_s=3) as remote,
        pytest.raises(ServiceUnreachable),
    ):
        remote.service()
    bench.end_service()


def test_the_network_without_keys_is_no_way_to_start(bench, place):
    bench.environ |= {"BLOCKMILL__TCP__KEYS": str(place), "BLOCKMILL__TCP__LISTEN": "127.0.0.1:0"}
    _, err = bench.run("serve", code=6)
    assert "tcp.listen needs keys" in err


def test_at_the_most_clients_further_ones_get_their_turn(bench, wait_until):
    """A crowd of clients, of which few fit in: each is answered, and none costs the service a descriptor."""
    bench.environ["BLOCKMILL__LIMITS__CONNECTIONS"] = "4"
    bench.serve()
    service = psutil.Process(bench.service.pid)

    def one_of_the_crowd(_):
        with bench.client(timeout_s=60) as client:
            return client.service().workers

    with bench.client(timeout_s=60) as stays, ThreadPoolExecutor(16) as crowd:
        wait_until(lambda: sum(w.rss_bytes > 0 for w in stays.workers()) == 2, "the workers")
        before = service.num_fds()
        assert list(crowd.map(one_of_the_crowd, range(48))) == [2] * 48
        assert stays.service().workers == 2
        wait_until(lambda: service.num_fds() < before + 8, "the end of the crowd's connections")
    assert "4 clients are connected, the most allowed" in bench.end_service()


def test_a_name_or_a_label_means_ones_own_jobs_first(bench, place):
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER.pw_uid, OTHER.pw_gid)
    write(place / "in.npy", voxels, 0, 0o644)
    bench.serve()
    open_socket(bench)

    def job(name, output):
        return copy_job(place / "in.npy", output) | {"name": name, "label": "night"}

    with bench.client() as client:
        mine = [client.submit(job(name, place / f"{name}.npy")).id for name in ("both", "mine")]
        client.wait(mine, timeout_s=60)
        answers = as_other(
            bench,
            ("submit", [job("both", theirs / "a.npy")], {}),
            ("wait", ["both"], {"timeout_s": 60}),
            ("job", ["both"], {}),
            ("job", ["mine"], {}),  # there is none of their own
            ("remove", ["mine"], {}),
            ("remove", [mine[0]], {}),
            ("remove_ended", [], {"label": "night"}),
        )
        assert [answer for answer in answers if answer[0] == "ok"] == [["ok", 3]] * 3 + [
            ["ok", 2],
            ["ok", None],
        ]
        for kind, text in answers[4:6]:
            assert kind == "Refused"
            assert "belongs to root, who alone may remove it" in text
        assert {info.id for info in client.jobs()} == set(mine)
        client.remove("both", "mine")
        assert client.jobs() == []
    bench.end_service()

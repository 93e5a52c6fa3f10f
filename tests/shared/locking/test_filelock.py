import fcntl
import gc
import os
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from blockmill.shared.errors import BlockmillError, LockLost, LockTimeout, StorageError
from blockmill.shared.locking import filelock, lockfile
from blockmill.shared.locking.filelock import FileLock, stale
from blockmill.shared.locking.lockfile import compose, this_process

DEAD_TOKEN = "0123456789abcdef"
LAZYFLOW = b"Owning process args:\nilastik.py\n--headless\n"


def foreign(**facts: str) -> bytes:
    lines = [line.partition(": ") for line in compose(DEAD_TOKEN, None).decode().split("\n")]
    return "\n".join(key + colon + facts.get(key, value) for key, colon, value in lines).encode()


HONOURED = {
    "lazyflow": LAZYFLOW,
    "empty": b"",
    "custom": b"somebody's own words",
    "newer version": compose(DEAD_TOKEN, None).replace(b"lock 1", b"lock 2"),
    "other host": foreign(host="somewhere-else", boot="another"),
    "other namespace": foreign(pid_namespace="1", boot=""),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "block.h5"


@pytest.fixture
def lock_path(tmp_path):
    return tmp_path / "block.h5.lock"


def leave_a_dead_lock(lock_path, note=None):
    """A lock file as a killed process leaves it: our text, and nobody's flock."""
    lock_path.write_bytes(compose(DEAD_TOKEN, note))


def names(tmp_path):
    return sorted(entry.name for entry in tmp_path.iterdir())


def run(script, *args, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        capture_output=True, text=True, timeout=60, **kwargs,
    )  # fmt: skip


def test_a_lock_is_a_file_beside_the_path_and_goes_with_the_release(path, tmp_path):
    lock = FileLock(path)
    assert lock.available() and not lock.locked() and lock.holder() is None and lock.token is None
    assert lock.acquire() is True
    assert names(tmp_path) == ["block.h5.lock"]
    assert lock.locked() and lock.still_ours() and not lock.available()
    lock.release()
    assert names(tmp_path) == []
    assert lock.available() and not lock.locked() and not lock.still_ours()


def test_the_lock_file_tells_its_owner(path, lock_path):
    with FileLock(path, contents="block 7 of job smooth\npid: 0") as lock:
        holder = lock.holder()
        text = lock_path.read_text()
    me = this_process()
    assert text.startswith(f"blockmill lock 1\nhost: {me.host}\npid: {os.getpid()}\n")
    assert text.endswith("\n\nblock 7 of job smooth\npid: 0\n")
    assert (holder.kind, holder.host, holder.pid, holder.pid_namespace) == (
        "ours", me.host, os.getpid(), me.pid_namespace,
    )  # fmt: skip
    assert holder.start_time == pytest.approx(me.start_time) and me.start_time > 0
    assert holder.text == text and holder.since_s is not None and holder.is_here


def test_every_hold_has_a_token_of_its_own(path):
    lock = FileLock(path)
    tokens = set()
    for _ in range(3):
        with lock:
            assert lock.holder().token == lock.token
            tokens.add(lock.token)
    assert len(tokens) == 3


def test_a_relative_path_survives_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FileLock("block.h5") as lock:
        monkeypatch.chdir("/")
        assert lock.still_ours()
    assert names(tmp_path) == []


def test_the_descriptor_is_not_inherited_over_exec_and_none_is_left_open(path, lock_path):
    gc.collect()  # what earlier tests left may be closed at any moment
    before = set(os.listdir("/proc/self/fd"))
    with FileLock(path) as lock:
        (fd,) = [int(fd) for fd in os.listdir("/proc/self/fd") if is_open_on(fd, lock_path)]
        assert not os.get_inheritable(fd)
        assert not FileLock(path).acquire(blocking=False)
        assert lock.holder() is not None and not stale(lock_path)
    leave_a_dead_lock(lock_path)
    assert stale(lock_path)
    FileLock(path).acquire()
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def is_open_on(fd, lock_path):
    try:
        return os.path.samestat(os.stat(f"/proc/self/fd/{fd}"), os.stat(lock_path))
    except FileNotFoundError:  # the listing's own
        return False


def test_a_held_lock_excludes_those_who_know_nothing_but_its_file(path, lock_path):
    with FileLock(path), pytest.raises(FileExistsError):
        os.open(lock_path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    os.close(os.open(lock_path, os.O_CREAT | os.O_EXCL | os.O_RDWR))
    assert not FileLock(path).acquire(blocking=False)


def test_another_instance_does_not_get_a_held_lock(path):
    with FileLock(path) as lock:
        other = FileLock(path, timeout_s=0)
        assert other.acquire(blocking=False) is False
        assert other.acquire(blocking=False, timeout_s=5) is False
        with pytest.raises(LockTimeout):
            other.acquire()
        assert lock.still_ours() and not other.locked() and other.took_over is None
    assert other.acquire(blocking=False) is True


def test_a_lock_is_not_re_entrant(path):
    with FileLock(path) as lock:
        with pytest.raises(BlockmillError, match="not re-entrant"):
            lock.acquire()
        assert lock.still_ours()


def test_a_thread_that_does_not_hold_a_shared_lock_waits_for_it(path):
    lock, told = FileLock(path), []

    def ask():
        told.append(lock.acquire(blocking=False))
        try:
            lock.acquire(timeout_s=0.01)
        except LockTimeout as error:
            told.append(str(error))

    with lock:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert lock.still_ours()
    assert told[0] is False
    assert lock.lock_path in told[1]
    thread = threading.Thread(target=lambda: told.append(lock.acquire()))
    thread.start()
    thread.join()
    assert told[2] is True
    lock.release()  # whoever has the instance may release it, as with threading.Lock
    assert lock.available()


def test_threads_that_share_a_lock_hand_it_on_as_a_status_too(path, tmp_path):
    lock, status, failures = FileLock(path, timeout_s=60), tmp_path / "status", []

    def work():
        try:
            for _ in range(30):
                lock.acquire()
                assert lock.still_ours()
                assert lock.release_as(str(status), b"note")
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == ["status"]


def test_a_lock_that_is_not_held_cannot_be_released(path):
    lock = FileLock(path)
    with pytest.raises(BlockmillError, match="does not hold it"):
        lock.release()
    with FileLock(path) as holder:
        with pytest.raises(BlockmillError, match="does not hold it"):
            lock.release()
        assert holder.still_ours()


def test_a_block_may_release_its_lock_early(path):
    with FileLock(path) as lock:
        lock.release()
    assert lock.available()


def test_a_forgotten_lock_is_released(path, lock_path):
    lock = FileLock(path)
    lock.acquire()
    del lock
    gc.collect()
    assert not lock_path.exists()


def test_a_lock_that_could_not_be_made_is_forgotten_quietly():
    with pytest.raises(TypeError):
        FileLock(None)
    gc.collect()  # an error in __del__ would be raised as a warning


@pytest.mark.parametrize("timeout_s", [-1, float("nan")])
def test_a_timeout_that_is_no_duration_is_refused(path, timeout_s):
    with pytest.raises(ValueError, match="timeout_s"):
        FileLock(path).acquire(timeout_s=timeout_s)


# Waiting


class FakeTime:
    def __init__(self, at_sleep=lambda n: None):
        self.now, self.waits, self.at_sleep = 1000.0, [], at_sleep

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.waits.append(seconds)
        self.at_sleep(len(self.waits))


@pytest.fixture
def fake_time(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr(filelock, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


def test_waits_grow_from_1_to_20_ms_and_end_with_the_time_out(path, fake_time):
    with FileLock(path), pytest.raises(LockTimeout):
        FileLock(path).acquire(timeout_s=0.5)
    assert fake_time.now == pytest.approx(1000.5)
    assert 0 < fake_time.waits[0] <= 0.001 and max(fake_time.waits) <= 0.020
    assert min(fake_time.waits[12:-1]) >= 0.010


def test_a_lock_that_is_released_at_the_last_moment_is_still_got(path, fake_time):
    holder = FileLock(path)
    holder.acquire()
    fake_time.at_sleep = lambda n: holder.release() if fake_time.now >= 1000.5 else None
    with FileLock(path, timeout_s=0.5) as lock:
        assert lock.still_ours()


def test_waits_are_short_again_when_the_owner_changes(path, fake_time):
    first, second = FileLock(path), FileLock(path)
    first.acquire()

    def hand_over(n):
        if n == 20:
            first.release()
            second.acquire()

    fake_time.at_sleep = hand_over
    with pytest.raises(LockTimeout):
        FileLock(path).acquire(timeout_s=1)
    assert fake_time.waits[19] >= 0.010 and fake_time.waits[20] <= 0.001


def test_a_time_out_of_zero_does_not_wait(path, fake_time):
    with FileLock(path), pytest.raises(LockTimeout):
        FileLock(path).acquire(timeout_s=0)
    assert fake_time.waits == []


def test_no_time_out_means_to_wait_until_it_is_free(path, fake_time):
    holder = FileLock(path)
    holder.acquire()
    fake_time.at_sleep = lambda n: holder.release() if n == 1000 else None
    lock = FileLock(path, timeout_s=0)
    assert lock.acquire(timeout_s=None) and len(fake_time.waits) == 1000


def test_a_time_out_names_the_file_the_holder_and_the_way_out(path, lock_path):
    with FileLock(path), pytest.raises(LockTimeout) as raised:
        FileLock(path).acquire(timeout_s=0)
    message = str(raised.value)
    for part in (str(lock_path), f"process {os.getpid()} on host {this_process().host}", "for 0.", "purge"):
        assert part in message
    assert str(pickle.loads(pickle.dumps(raised.value))) == message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (LAZYFLOW, "lazyflow process that was started as 'ilastik.py --headless'"),
        (b"", "the lock file is empty"),
        (b"who?", "the lock file says 'who?'"),
        pytest.param(foreign(host="far", boot="x"), "on host far (another host or container)", id="far"),
    ],
)
def test_a_time_out_tells_what_is_known_of_a_foreign_holder(path, lock_path, content, part):
    lock_path.write_bytes(content)
    with pytest.raises(LockTimeout) as raised:
        FileLock(path).acquire(timeout_s=0)
    assert part in str(raised.value)


@pytest.mark.parametrize("shared", [False, True])
def test_threads_exclude_each_other(path, tmp_path, shared):
    total, inside, failures = [0], tmp_path / "inside", []
    common = FileLock(path, timeout_s=60)

    def work():
        lock = common if shared else FileLock(path, timeout_s=60)
        try:
            for _ in range(20):
                with lock:
                    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                    before = total[0]
                    inside.unlink()
                    total[0] = before + 1
        except Exception as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and total == [120] and names(tmp_path) == []


# Foreign and dead owners


@pytest.mark.parametrize("content", HONOURED.values(), ids=HONOURED.keys())
def test_a_foreign_lock_is_honoured_until_it_is_purged(path, lock_path, content):
    lock_path.write_bytes(content)
    lock = FileLock(path)
    assert lock.acquire(blocking=False) is False
    assert not lock.available() and not stale(lock_path)
    assert lock_path.read_bytes() == content
    assert lock.purge() is True and lock.purge() is False
    assert lock.acquire(blocking=False) and lock.took_over is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(foreign(host="renamed"), id="under another host name"),
        pytest.param(foreign(pid_namespace="1"), id="in another container"),
        pytest.param(foreign(boot="another"), id="before the restart"),
        pytest.param(foreign(boot="").replace(b"boot: \n", b""), id="version 0.1"),
        pytest.param(bytes(200), id="power cut"),
    ],
)
def test_a_dead_lock_of_this_machine_is_taken_over_at_once(path, lock_path, content):
    lock_path.write_bytes(content)
    assert stale(lock_path) and FileLock(path).available()
    lock = FileLock(path)
    assert lock.acquire(blocking=False) and lock.took_over is not None
    assert not FileLock(path).acquire(blocking=False)
    lock.release()
    assert not lock_path.exists()


def test_zero_bytes_on_a_disk_of_several_machines_may_be_a_living_lock(path, lock_path, monkeypatch):
    monkeypatch.setattr(lockfile, "on_local_disk", lambda fd: False)
    lock_path.write_bytes(bytes(200))
    assert not stale(lock_path) and not FileLock(path).acquire(blocking=False)


HALF = compose(DEAD_TOKEN, None)[:40]
GARBAGE = {"empty": b"", "zeros": bytes(200), "garbage": b"\xff\x00" * 50, "half": HALF}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_private_lock_without_a_flock_is_a_leftover_whatever_it_says(path, lock_path, content):
    lock_path.write_bytes(content)
    with open(lock_path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not FileLock(path, private=True).acquire(blocking=False)
    lock = FileLock(path, private=True)
    assert lock.available() and lock.acquire(blocking=False)
    assert not FileLock(path, private=True).acquire(blocking=False)
    assert lock.holder().token == lock.token
    lock.release()
    assert not lock_path.exists()


@pytest.mark.parametrize(
    "content",
    [LAZYFLOW, foreign(host="far", boot="another"), b"not a lock at all\n" * 1000],
    ids=["lazyflow", "far", "large"],
)
def test_a_private_lock_with_words_of_another_is_honoured(path, lock_path, content):
    lock_path.write_bytes(content)
    assert not FileLock(path, private=True).acquire(blocking=False)
    assert lock_path.read_bytes() == content


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda p: os.symlink("nowhere", p)])
def test_no_odd_thing_is_a_private_lock(path, lock_path, make):
    make(lock_path)
    assert not FileLock(path, private=True).acquire(blocking=False)
    assert os.path.lexists(lock_path)


@pytest.mark.parametrize(
    ("private", "local", "syncs"), [(False, True, 0), (True, True, 1), (False, False, 1)]
)
def test_a_lock_is_synced_before_others_see_it_where_that_matters(
    path, lock_path, monkeypatch, private, local, syncs
):
    seen = []
    monkeypatch.setattr(filelock, "on_local_disk", lambda fd: local)
    monkeypatch.setattr(os, "fdatasync", lambda fd: seen.append((os.pread(fd, 1000, 0), lock_path.exists())))
    with FileLock(path, private=private) as lock:
        assert seen == [(lock.holder().text.encode(), False)] * syncs


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda p: os.symlink("nowhere", p)])
def test_whatever_lies_at_the_path_is_honoured(path, lock_path, make):
    make(lock_path)
    lock = FileLock(path)
    assert lock.acquire(blocking=False) is False
    assert lock.holder().kind == "unknown" and not stale(lock_path)
    with pytest.raises(LockTimeout):
        lock.acquire(timeout_s=0)


def test_a_dead_owners_lock_is_taken_over_at_once(path, lock_path, tmp_path):
    leave_a_dead_lock(lock_path, note="a long note " * 50)
    assert stale(lock_path) and stale(str(lock_path))
    lock = FileLock(path)
    assert lock.available()
    assert lock.acquire(blocking=False)
    assert lock.took_over.token == DEAD_TOKEN and lock.took_over.pid == os.getpid()
    assert lock.holder().token == lock.token != DEAD_TOKEN
    assert "long note" not in lock.holder().text
    assert lock.still_ours() and not stale(lock_path)
    assert FileLock(path).acquire(blocking=False) is False
    lock.release()
    assert names(tmp_path) == []
    assert lock.acquire() and lock.took_over is None


def test_a_process_that_dies_with_the_lock_leaves_it_to_the_next(path, lock_path):
    script = """if True:
        import os, signal, sys
        from blockmill.shared.locking.filelock import FileLock
        lock = FileLock(sys.argv[1]); lock.acquire(); print(os.getpid(), lock.token, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run(script, path)
    pid, token = done.stdout.split()
    assert lock_path.exists()
    with FileLock(path, timeout_s=0) as lock:
        assert (lock.took_over.pid, lock.took_over.token) == (int(pid), token)


def test_a_process_that_ends_with_the_lock_releases_it(path, lock_path):
    script = """if True:
        import sys
        from blockmill.shared.locking.filelock import FileLock
        lock = FileLock(sys.argv[1]); lock.acquire()
    """
    done = run(script, path)
    assert (done.returncode, done.stderr) == (0, "") and not lock_path.exists()


def test_a_candidate_that_a_killed_creator_left_is_stale_and_cleaned_by_the_taker(path, lock_path, tmp_path):
    candidate = tmp_path / f"block.h5.lock-{DEAD_TOKEN}"
    leave_a_dead_lock(candidate)
    assert stale(candidate)
    os.link(candidate, lock_path)
    with FileLock(path):
        assert names(tmp_path) == ["block.h5.lock"]


def test_nothing_is_not_stale(tmp_path):
    assert not stale(tmp_path / "absent.lock")


def test_of_many_takers_one_gets_the_dead_lock(path, lock_path):
    for _ in range(20):
        leave_a_dead_lock(lock_path)
        locks = [FileLock(path) for _ in range(6)]
        start, won = threading.Barrier(6), []
        threads = [threading.Thread(target=take, args=(lock, start, won)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert [lock.still_ours() for lock in locks].count(True) == 1
        won[0].release()
        assert not lock_path.exists()


def take(lock, start, won):
    start.wait()
    if lock.acquire(blocking=False):
        won.append(lock)


def test_a_lock_that_is_made_while_a_taker_looks_is_not_robbed(path, lock_path, monkeypatch):
    leave_a_dead_lock(lock_path)
    newcomer, flock = FileLock(path), filelock.try_flock

    def flock_after_a_purge(fd, path):
        monkeypatch.setattr(filelock, "try_flock", flock)
        newcomer.purge()
        newcomer.acquire()
        return flock(fd, path)

    monkeypatch.setattr(filelock, "try_flock", flock_after_a_purge)
    taker = FileLock(path)
    assert taker.acquire(blocking=False) is False
    assert newcomer.still_ours() and newcomer.holder().token == newcomer.token


def test_a_lock_that_is_made_while_a_taker_takes_is_not_robbed(path, lock_path, monkeypatch):
    leave_a_dead_lock(lock_path)
    newcomer, taker, text = FileLock(path), FileLock(path), lockfile.compose

    def compose_after_a_purge(token, note):
        monkeypatch.setattr(lockfile, "compose", text)
        newcomer.purge()
        newcomer.acquire()
        return text(token, note)

    monkeypatch.setattr(lockfile, "compose", compose_after_a_purge)
    taker.acquire(blocking=False)
    assert newcomer.still_ours() and not taker.still_ours()
    with pytest.raises(LockLost):
        taker.release()
    assert newcomer.still_ours() and newcomer.holder().token == newcomer.token


def test_the_owner_that_died_last_is_the_one_that_is_told(path, lock_path, monkeypatch):
    leave_a_dead_lock(lock_path)
    flock = filelock.try_flock

    def flock_after_another_taker(fd, path):
        lock_path.write_bytes(foreign(token="f" * 16))  # took over, and died
        return flock(fd, path)

    monkeypatch.setattr(filelock, "try_flock", flock_after_another_taker)
    with FileLock(path) as lock:
        assert lock.took_over.token == "f" * 16


def test_a_dead_lock_of_another_user_is_replaced(path, lock_path, tmp_path, monkeypatch):
    leave_a_dead_lock(lock_path)
    open_file = os.open

    def not_for_writing(name, flags, *rest, **kwargs):
        if flags & os.O_ACCMODE == os.O_RDWR and not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return open_file(name, flags, *rest, **kwargs)

    monkeypatch.setattr(os, "open", not_for_writing)
    with FileLock(path) as lock:
        assert lock.took_over.token == DEAD_TOKEN
        assert lock.still_ours() and lock.holder().token == lock.token
        assert not FileLock(path).acquire(blocking=False)
    assert names(tmp_path) == []


def test_a_lock_that_nobody_may_read_is_honoured(path, lock_path, monkeypatch):
    leave_a_dead_lock(lock_path)

    def refuse(name, flags, *rest, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert FileLock(path).acquire(blocking=False) is False
    assert FileLock(path).holder().kind == "unknown"


# Lost locks


def test_a_release_after_a_purge_tells_so_and_leaves_the_next_ones_lock(path):
    lock, other = FileLock(path), FileLock(path)
    lock.acquire()
    assert other.purge()
    assert lock.locked() and not lock.still_ours()
    other.acquire()
    assert not lock.still_ours()
    with pytest.raises(LockLost, match=r"block\.h5\.lock was removed by somebody else"):
        lock.release()
    assert other.still_ours() and not lock.locked()


def test_leaving_a_block_without_its_lock_tells_so(path):
    with pytest.raises(LockLost), FileLock(path) as lock:
        lock.purge()
    with pytest.raises(LockLost):
        try:
            raise KeyError("handled, and so none of the block's")
        except KeyError:
            with FileLock(path) as lock:
                lock.purge()


def test_a_lost_lock_does_not_hide_the_error_in_flight(path):
    with pytest.raises(KeyError), FileLock(path) as lock:
        lock.purge()
        raise KeyError
    lock.acquire()
    with pytest.raises(KeyError):
        try:
            lock.purge()
            raise KeyError
        finally:
            lock.release()
    assert not lock.locked()


# Forks


def test_a_forked_child_does_not_touch_its_parents_lock(path):
    script = """if True:
        import gc, os, sys
        from blockmill.shared.errors import BlockmillError
        from blockmill.shared.locking.filelock import FileLock
        path = sys.argv[1]
        inherited = FileLock(path); inherited.acquire()
        with FileLock(path + "2") as second:
            child = os.fork()
            if child == 0:
                assert not inherited.locked() and not inherited.still_ours() and inherited.token is None
                try:
                    inherited.release()
                except BlockmillError as error:
                    assert f"process {os.getppid()}" in str(error), error
                else:
                    raise SystemExit("released the lock of the parent")
                assert not inherited.acquire(blocking=False)
                own = FileLock(path + "3"); own.acquire()
                assert own.holder().pid == os.getpid()
                del inherited
                gc.collect()
                sys.exit(7)  # leaves the block, and ends as any process ends
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            for lock in (inherited, second):
                assert lock.still_ours()
                assert not FileLock(lock.protected_path).acquire(blocking=False)
        inherited.release()
    """
    done = run(script, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(path.parent) == []


def test_a_surviving_child_does_not_keep_its_dead_parents_lock_alive(path, lock_path):
    script = """if True:
        import os, signal, sys
        from blockmill.shared.locking.filelock import FileLock
        lock = FileLock(sys.argv[1]); lock.acquire()
        if os.fork() == 0:
            print("child", flush=True)
            sys.stdin.read()
            print("end", flush=True)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout.readline() == "child\n"
        parent.wait(60)
        assert stale(lock_path)
        assert FileLock(path).acquire(blocking=False)
        parent.stdin.close()
        assert parent.stdout.read() == "end\n"  # it was alive all the time


# File systems that refuse


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"make its directory .*/no/such first") as raised:
        FileLock(tmp_path / "no" / "such" / "block.h5").acquire()
    assert isinstance(raised.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("call", ["open", "link"])
def test_a_directory_that_refuses_is_named_and_kept_clean(path, tmp_path, monkeypatch, call):
    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match=f"no permission .* in {tmp_path}$") as raised:
            FileLock(path).acquire()
    assert isinstance(raised.value.__cause__, PermissionError)
    assert names(tmp_path) == [] and os.listdir("/proc/self/fd") == before


def test_a_full_disk_leaves_nothing_behind(path, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="No space left on device"):
        FileLock(path).acquire()
    assert names(tmp_path) == []


def test_a_link_whose_answer_was_lost_is_a_lock(path, tmp_path, monkeypatch):
    link = os.link

    def link_and_fail(*args):
        link(*args)
        raise FileExistsError

    monkeypatch.setattr(os, "link", link_and_fail)
    with FileLock(path, timeout_s=0) as lock:
        assert lock.still_ours() and lock.took_over is None
    assert names(tmp_path) == []


def test_a_lock_that_another_makes_first_is_honoured(path, lock_path, tmp_path, monkeypatch):
    link = os.link

    def come_first(*args):
        lock_path.write_bytes(LAZYFLOW)
        link(*args)

    monkeypatch.setattr(os, "link", come_first)
    assert FileLock(path).acquire(blocking=False) is False
    assert lock_path.read_bytes() == LAZYFLOW and names(tmp_path) == ["block.h5.lock"]


def test_a_lock_becomes_another_file_in_one_step(path, lock_path, tmp_path):
    lock = FileLock(path)
    lock.acquire()
    holder = lock.holder()
    assert lock.release_as(str(tmp_path / "status"), b"facts\n")
    assert not lock.locked()
    assert not os.path.exists(lock_path)
    assert (tmp_path / "status").read_bytes() == holder.text.encode() + b"facts\n"
    with FileLock(path), pytest.raises(LockTimeout):
        FileLock(path).acquire(timeout_s=0)
    assert (tmp_path / "status").read_bytes().endswith(b"facts\n")


def test_a_lock_that_was_lost_or_taken_over_does_not_become_another_file(path, lock_path, tmp_path):
    lock = FileLock(path)
    lock.acquire()
    lock.purge()
    with FileLock(path), pytest.raises(LockLost):
        lock.release_as(str(tmp_path / "status"), b"facts\n")
    with pytest.raises(LockLost):
        lock.release()
    lock.acquire()
    lock.took_over = lock.holder()
    assert not lock.release_as(str(tmp_path / "status"), b"facts\n")
    lock.release()
    assert not lock.release_as(str(tmp_path / "status"), b"facts\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["pwrite", "replace"])
def test_a_lock_that_can_not_become_another_file_is_still_held(path, lock_path, tmp_path, monkeypatch, call):
    lock = FileLock(path)
    lock.acquire()
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        lock.release_as(str(tmp_path / "status"), b"facts\n")
    assert lock.still_ours()
    lock.release()
    assert os.listdir(tmp_path) == []


def test_a_lock_whose_owner_dies_before_it_becomes_another_file_is_taken_over(path, tmp_path):
    child = os.fork()
    if not child:
        lock = FileLock(path)
        lock.acquire()
        os.replace = lambda *_: os.kill(os.getpid(), 9)
        lock.release_as(str(tmp_path / "status"), b"facts\n")
    os.waitpid(child, 0)
    lock = FileLock(path)
    lock.acquire(timeout_s=0)
    assert lock.took_over.pid == child
    lock.release()
    assert os.listdir(tmp_path) == []

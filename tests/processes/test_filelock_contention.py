import signal
import subprocess
import sys

WORKER = """if True:
    import os, sys
    from pathlib import Path
    from blockmill.shared.locking.filelock import FileLock

    def count_up(lock):
        with lock:
            # Whoever comes in while another is inside fails here.
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            counter.write_text(str(int(counter.read_text()) + 1))
            os.unlink(inside)
            if lock.took_over is not None:
                print("took over from", lock.took_over.pid, lock.took_over.token, flush=True)

    counter, rounds, role = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    inside = str(counter) + ".inside"
    lock = FileLock(counter, timeout_s=60)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(rounds):
        count_up(lock)
    if role == "victim":
        lock.acquire()
        print("holds", lock.token, flush=True)
        sys.stdin.readline()
        sys.exit("was not killed")
    sys.stdin.readline()
    for _ in range(rounds):
        count_up(lock)
"""


def start_worker(counter, rounds, role):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(counter), str(rounds), role],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def go(worker):
    worker.stdin.write("go\n")
    worker.stdin.flush()


def test_a_killed_holder_costs_neither_a_count_nor_the_lock(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    rounds = 60
    victim = start_worker(counter, rounds, "victim")
    others = [start_worker(counter, rounds, "worker") for _ in range(3)]
    try:
        for worker in (victim, *others):
            assert worker.stdout.readline() == "ready\n"
        for worker in (victim, *others):
            go(worker)
        held, token = victim.stdout.readline().split()
        assert held == "holds"
        for worker in others:  # whose second half can't be done while the victim holds
            go(worker)
        assert [worker.poll() for worker in others] == [None] * 3
        victim.kill()
        outputs = [worker.communicate(timeout=60) for worker in others]
    finally:
        for worker in (victim, *others):
            worker.kill()
            worker.communicate()

    assert victim.returncode == -signal.SIGKILL
    assert [(worker.returncode, error) for worker, (_, error) in zip(others, outputs, strict=True)] == [
        (0, "")
    ] * 3
    assert counter.read_text() == str(7 * rounds)
    # Exactly one of them found the dead owner; all other hand-overs were plain releases.
    assert "".join(said for said, _ in outputs) == f"took over from {victim.pid} {token}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["counter"]

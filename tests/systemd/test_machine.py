"""The units in a real systemd: start, kill, hang, stop, socket, journal, other people."""

import importlib.util
import json
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("machine", Path(__file__).with_name("machine.py"))
machine_of = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(machine_of)

pytestmark = [
    pytest.mark.skipif(bool(machine_of.why_not()), reason=machine_of.why_not() or "-"),
    pytest.mark.xdist_group("machine"),  # one machine for all of them
]

STEPS = """
import os, time

def gated(block, context, gate):
    open(f"{gate}.begun-{context.roi.start[0]}", "w").close()
    while not os.path.exists(gate):
        time.sleep(0.01)
    return block

def raises_once(block, context, mark):
    if context.roi.start[0] == 10 and not os.path.exists(mark):
        open(mark, "w").close()
        raise RuntimeError("no luck today")
    return block
"""
SETTINGS = """
access: {data_roots: [/data], user_code: [/opt/steps]}
workers: {count: 2}
"""
DROP_IN = "[Service]\nReadWritePaths=/data\nWatchdogSec=2\nRestartSec=100ms\n"


@pytest.fixture(scope="module")
def machine():
    made = machine_of.Machine()
    try:
        made.run("blockmill", "service", "install", "--system", "--command", machine_of.COMMAND)
        for name in ("ann", "bob"):
            made.run("useradd", "--create-home", name)
        made.run("usermod", "-aG", "blockmill", "ann")
        made.run(
            "sh",
            "-c",
            "mkdir -p -m 1777 /data && mkdir -p /opt/steps /etc/systemd/system/blockmill.service.d",
        )
        write(made, "/opt/steps/steps.py", STEPS)
        write(made, "/etc/blockmill/config.yaml", SETTINGS)
        write(made, "/etc/systemd/system/blockmill.service.d/data.conf", DROP_IN)
        made.run("systemctl", "daemon-reload")
        made.run("blockmill", "volume", "create", "/data/cells.json", "--shape", "40,30,30")
        made.run("chmod", "-R", "a+rX", "/data/cells.json", "/data")
        yield made
    finally:
        made.close()


@pytest.fixture
def running(machine):
    machine.run("systemctl", "reset-failed", code=None)
    machine.run("systemctl", "start", "blockmill")
    yield machine
    machine.run("systemctl", "kill", "-s", "CONT", "blockmill", code=None)
    machine.run("systemctl", "stop", "blockmill", "blockmill.socket", code=None)


def write(machine, path, text):
    machine.run("sh", "-c", f"cat > {path}; chmod a+r {path}", stdin=text)


def gated_job(name):
    job = {
        "input": "/data/cells.json",
        "output": {"address": f"/data/ann/{name}.json", "block_shape": [10, 30, 30]},
        "block_shape": [10, 30, 30],
        "operation": {"python": {"function": "steps:gated", "args": {"gate": f"/data/ann/{name}.gate"}}},
        "user_code": "/opt/steps",
    }
    return json.dumps(job)


def begin(machine, name):
    """Have ann submit a job and wait until a block of it is at work; its number."""
    machine.run("install", "-d", "-o", "ann", "/data/ann")
    number = machine.run(
        "blockmill", "submit", "-", "--id-only", stdin=gated_job(name), user="ann"
    ).stdout.strip()
    machine.wait(
        lambda: "begun" in machine.run("ls", "/data/ann").stdout.replace("\n", f" {name}"), "a block"
    )
    machine.wait(
        lambda: any(f"{name}.gate.begun" in line for line in machine.run("ls", "/data/ann").stdout.split()),
        "a block",
    )
    return number


def open_gate(machine, name):
    machine.run("touch", f"/data/ann/{name}.gate", user="ann")


def restarts(machine):
    return int(machine.show("blockmill", "NRestarts"))


def test_start_returns_when_clients_are_served_and_tells_its_state(running):
    assert json.loads(running.run("blockmill", "version", "--json").stdout)["service"]
    running.wait(lambda: "0 jobs running" in running.show("blockmill", "StatusText"), "its state")


def test_members_of_the_group_may_come_and_their_outputs_are_theirs(running):
    number = begin(running, "mine")
    processes = running.run("ps", "-eo", "ruser:20,args").stdout.splitlines()
    users = {line.split()[0] for line in processes if "blockmill.workers.nursery" in line}
    assert users == {"blockmill", "ann"}
    open_gate(running, "mine")
    running.run("blockmill", "wait", number, user="ann")
    assert running.run("stat", "-c", "%U", "/data/ann/mine.json").stdout.strip() == "ann"
    owners = running.run(
        "sh", "-c", "find /data/ann -name '*.h5' | xargs -d '\\n' stat -c %U | sort -u"
    ).stdout
    assert owners.split() == ["ann"]
    refused = running.run("blockmill", "ls", user="bob", code=4)
    assert "are you in its group?" in refused.stderr
    outside = json.dumps({"input": "/data/cells.json", "output": "/home/ann/x.npy", "operation": "copy"})
    assert (
        "access.data_roots"
        in running.run("blockmill", "submit", "-", stdin=outside, user="ann", code=6).stderr
    )


def test_a_killed_service_is_started_again_and_its_job_goes_on(running):
    number, before = begin(running, "killed"), restarts(running)
    running.run("systemctl", "kill", "-s", "KILL", "blockmill")
    running.wait(
        lambda: restarts(running) > before and running.show("blockmill", "ActiveState") == "active", "it"
    )
    open_gate(running, "killed")
    running.run("blockmill", "wait", number, user="ann")
    info = json.loads(running.run("blockmill", "status", number, "--json", user="ann").stdout)["jobs"][0]
    assert (info["state"], info["runs"]) == ("done", 2)


def test_a_service_that_hangs_is_ended_by_the_watchdog(running):
    number, before = begin(running, "hung"), restarts(running)
    running.run("kill", "-STOP", running.show("blockmill", "MainPID"))
    running.wait(
        lambda: restarts(running) > before and running.show("blockmill", "ActiveState") == "active", "it"
    )
    assert "Watchdog timeout" in running.logs()
    open_gate(running, "hung")
    running.run("blockmill", "wait", number, user="ann")


def test_stop_lets_running_blocks_end(running):
    number = begin(running, "drained")
    running.run("systemctl", "stop", "--no-block", "blockmill")
    running.wait(lambda: running.show("blockmill", "ActiveState") == "deactivating", "the stop")
    running.wait(lambda: "draining" in running.show("blockmill", "StatusText"), "its state")
    open_gate(running, "drained")
    running.wait(lambda: running.show("blockmill", "ActiveState") == "inactive", "the end")
    assert running.show("blockmill", "Result") == "success"
    running.run("systemctl", "start", "blockmill")
    running.run("blockmill", "wait", number, user="ann")
    info = json.loads(running.run("blockmill", "status", number, "--json", user="ann").stdout)["jobs"][0]
    assert info["skipped"] >= 1 and info["redone"] == 0


def test_the_socket_starts_the_service(machine):
    machine.run("systemctl", "stop", "blockmill")
    machine.run("systemctl", "start", "blockmill.socket")
    assert machine.show("blockmill", "ActiveState") == "inactive"
    assert machine.run("blockmill", "ls", "--json", user="ann").stdout
    assert machine.show("blockmill", "ActiveState") == "active"
    machine.run("systemctl", "stop", "blockmill")  # the socket stays, and so may clients
    assert machine.run("blockmill", "ls", "--json", user="ann").stdout
    machine.run("systemctl", "stop", "blockmill.socket", "blockmill")


def test_messages_are_in_the_journal_with_their_fields(running):
    running.run("install", "-d", "-o", "ann", "/data/ann")
    job = {
        "input": "/data/cells.json",
        "output": "/data/ann/fields.npy",
        "block_shape": [10, 30, 30],
        "operation": {"python": {"function": "steps:raises_once", "args": {"mark": "/data/ann/mark"}}},
        "user_code": "/opt/steps",
    }
    number = running.run(
        "blockmill", "submit", "-", "--id-only", stdin=json.dumps(job), user="ann"
    ).stdout.strip()
    running.run("blockmill", "wait", number, user="ann")
    chosen = ("-t", "blockmill", f"JOB_ID={number}")  # systemd numbers its own jobs in a field of this name
    lines = running.run("journalctl", *chosen, "-o", "json").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["_SYSTEMD_UNIT"] for entry in entries} == {"blockmill.service"}
    (retried,) = [entry for entry in entries if "no luck today" in entry["MESSAGE"]]
    assert (retried["BLOCK"], retried["WORKER"] in "01") == ("10,0,0", True)
    assert any(entry["MESSAGE"] == "done" for entry in entries)


def test_hup_takes_up_the_configuration_and_keeps_the_old_one_where_it_is_wrong(running):
    write(running, "/etc/blockmill/conf.d/50-more.yaml", "workers: {count: 3}\n")
    running.run("systemctl", "reload", "blockmill")
    count = lambda: json.loads(running.run("blockmill", "status", "--json").stdout)["service"]["workers"]  # noqa: E731
    running.wait(lambda: count() == 3, "a third worker")
    write(running, "/etc/blockmill/conf.d/50-more.yaml", "workers: {coutn: 1}\n")
    running.run("systemctl", "reload", "blockmill")
    running.wait(lambda: "50-more.yaml:1:11 workers.coutn" in running.logs(), "the complaint")
    assert count() == 3
    running.run("rm", "/etc/blockmill/conf.d/50-more.yaml")


def test_a_service_of_one_person(machine):
    machine.run("systemctl", "start", "blockmill@bob")
    job = json.dumps({"input": "/data/cells.json", "output": "/data/bobs.npy", "operation": "copy"})
    machine.run("blockmill", "submit", "--wait", "-", stdin=job, user="bob")
    assert machine.run("stat", "-c", "%U", "/data/bobs.npy").stdout.strip() == "bob"
    machine.run("systemctl", "stop", "blockmill@bob")


def test_units_go_as_they_came(machine):
    machine.run("blockmill", "service", "uninstall", "--system")
    left = machine.run("sh", "-c", "ls /etc/systemd/system/blockmill* -d; true").stdout.split()
    assert left == ["/etc/systemd/system/blockmill.service.d"]
    machine.run("blockmill", "service", "install", "--system", "--command", machine_of.COMMAND)


def test_the_doctor_knows_the_units_and_what_their_account_can_reach(running):
    found = json.loads(running.run("blockmill", "doctor", "--json", "/data").stdout)["findings"]
    units = [each for each in found if each["check"] == "systemd"]
    assert "loaded, active" in units[0]["text"] and units[0]["level"] == "ok"
    assert [each["level"] for each in found if each["check"] == "service"] == ["ok"]
    files = running.run("blockmill", "bug-report", "-o", "/tmp/report.tar.gz").stdout
    assert "journal.txt" in files
    journal = running.run("sh", "-c", "tar -xzOf /tmp/report.tar.gz report/journal.txt").stdout
    assert "blockmill" in journal
    running.run("systemctl", "stop", "blockmill")
    found = json.loads(running.run("blockmill", "doctor", "--json").stdout)["findings"]
    units = [each for each in found if each["check"] == "systemd"]
    assert units[0]["level"] == "warn" and "enable --now blockmill" in units[0]["advice"]

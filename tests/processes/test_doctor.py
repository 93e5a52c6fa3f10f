"""The doctor, asked on the command line."""

import json


def findings(out):
    return {finding["check"]: finding for finding in json.loads(out)["findings"]}


def test_a_running_service_is_found_well(bench):
    bench.serve()
    out, err = bench.run("doctor", "--json", str(bench.folder))
    found = findings(out)
    assert json.loads(out)["ok"] is True and not err
    assert f"pid {bench.service.pid}" in found["service"]["text"]
    assert found["locks"]["level"] == found["socket"]["level"] == found["configuration"]["level"] == "ok"
    bench.end_service()


def test_a_killed_service_is_missed_and_no_failure(bench):
    bench.serve()
    bench.service.kill()
    bench.service.communicate()
    found = findings(bench.run("doctor", "--json")[0])
    assert found["service"]["level"] == "warn" and "blockmill serve" in found["service"]["text"]


def test_a_wrong_configuration_fails_with_its_place(bench):
    path = bench.folder / "config" / "blockmill" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("workers: {coutn: 3}\n")
    out, _ = bench.run("doctor", code=1)
    assert f"fail  configuration: {path}:1:11 workers.coutn: unknown key" in out
    assert "      -> mend that" in out

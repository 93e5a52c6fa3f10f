"""The verbs of the configuration, and a service that takes its settings from files, variables and options."""

import json
import shutil
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "configs" / "daemon.yaml"


def test_show_check_and_schema(bench):
    path = bench.folder / "config" / "blockmill" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("workers: {count: 3}\n")
    out, _ = bench.run("config", "show", "--origin")
    assert f"  count: 3                                # {path}:1:18" in out.splitlines()
    again = bench.folder / "again.yaml"
    again.write_text(out)  # what it shows is a configuration
    shown = json.loads(bench.run("config", "show", str(again), "--json")[0])
    assert shown["config"] == json.loads(bench.run("config", "show", "--json")[0])["config"]
    assert str(path) in bench.run("config", "check")[0]
    path.write_text("workers: {coutn: 3}\n")
    out, err = bench.run("config", "check", "--json", code=5)
    assert err == f"blockmill: {path}:1:11 workers.coutn: unknown key; did you mean count?\n"
    assert json.loads(out)["ok"] is False
    assert "workers" in json.loads(bench.run("config", "schema")[0])["properties"]
    single, staged = json.loads(bench.run("config", "schema", "--job")[0])["anyOf"]
    assert "operation" in single["properties"] and "stages" in staged["properties"]


def test_a_service_with_a_wrong_configuration_does_not_start(bench):
    wrong = bench.folder / "c.yaml"
    wrong.write_text("workers: {count: none}\n")
    _, err = bench.run("serve", "--config", str(wrong), code=5)
    assert f'{wrong}:1:18 workers.count: must be a whole number (is the text "none")' in err


def test_the_configuration_that_ships_runs_a_service(bench, wait_until):
    bench.serve("--config", str(SHIPPED), workers=None)
    with bench.client() as client:
        assert client.service().workers == 2
        wait_until(lambda: len(client.workers()) == 2, "the workers")
    bench.end_service()


def test_the_job_that_ships_runs(bench):
    jobs = bench.folder / "configs"
    jobs.mkdir()
    shutil.copy(SHIPPED.with_name("demo.yaml"), jobs)
    bench.run("volume", "create", "demo/cells.json", "--shape", "40,70,70")
    bench.run("run", "configs/demo.yaml", "--quiet")
    assert bench.read("demo/smooth.json").shape == (40, 70, 70)

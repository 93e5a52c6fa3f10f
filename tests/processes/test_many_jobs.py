"""Jobs of a service by name and label, several at a time, removed, done again as edited."""

import asyncio
import json
import signal

import numpy as np
import pytest

from blockmill import AsyncClient
from blockmill.shared.errors import NoSuchJob, Refused


def copy_job(bench, name="copy", output=None, **fields):
    return bench.job(
        f"{name}.yaml", input="in.npy", output=output or f"{name}.npy", operation="copy", **fields
    )


def test_a_name_means_the_newest_active_job_to_look_at_and_the_only_one_to_change(bench):
    bench.volume()
    bench.serve()
    bench.run("submit", "--wait", copy_job(bench, "x"))
    bench.run("pause", "--all")
    bench.run("submit", copy_job(bench, "x", "x2.npy"))
    out, err = bench.run("status", "x")
    assert out.startswith("job 2: x\n")
    assert err == "x is job 2, of 2 jobs of this name\n"
    bench.run("priority", "x", "-5")
    assert json.loads(bench.run("status", "x", "--json")[0])["jobs"][0]["priority"] == -5
    assert "cancelled" in bench.run("cancel", "x")[0]
    assert bench.run("logs", "x")[0].endswith("cancelled: cancelled on request\n")
    _, err = bench.run("rm", "x", code=6)
    assert "x is the name of jobs 1, 2; give the number" in err
    bench.run("retry", "x")  # the only one that has ended otherwise than done
    bench.run("resume", "--all")
    bench.run("wait", "x", "1")
    for verb in ("status", "wait", "logs", "cancel", "rm", "retry", "watch"):
        _, err = bench.run(verb, "nobody", code=3)
        assert "there is no job of the name nobody" in err
    with bench.client() as client:
        info = client.job("x")
        assert info.id == client.job(info).id == client.wait("x").id == 2
        assert [one.state for one in client.wait([1, "x", info])] == ["done"] * 3
        assert [one.id for one in client.wait((2, 1))] == [2, 1]
        assert client.spec("x").output.address.endswith("x2.npy")
        with pytest.raises(Refused, match="jobs 1, 2"):
            client.remove("x")
        with pytest.raises(NoSuchJob, match="nobody"):
            client.cancel("nobody")
        for call in (client.job, client.wait, client.cancel, client.retry, client.remove, client.pause):
            for nonsense in (None, 1.5, True, {1}):
                with pytest.raises(TypeError, match="number, its name or its JobInfo"):
                    call(nonsense)
        with pytest.raises(TypeError, match="number, its name or its JobInfo"):
            list(client.watch(b"x"))
        with pytest.raises(TypeError, match="not by list"):
            client.wait([1, [2]])
    bench.end_service()


def test_many_jobs_by_their_label_or_all(bench):
    bench.volume()
    bench.serve()
    bench.run("pause", "--all")
    for name, label in (("a", "night"), ("b", "night"), ("c", "day")):
        bench.run("submit", "--label", label, copy_job(bench, name))
    bench.run("submit", "--label", "night", "--after", "a", copy_job(bench, "d"))

    def states():
        with bench.client() as client:
            return {info.id: info.state for info in client.jobs()}

    bench.run("priority", "--label", "night", "-2")
    assert len(json.loads(bench.run("status", "--label", "night", "--json")[0])["jobs"]) == 3
    out, _ = bench.run("cancel", "--label", "night")
    assert out.count("cancelled") >= 3
    assert states() == {1: "cancelled", 2: "cancelled", 3: "queued", 4: "cancelled"}
    _, err = bench.run("cancel", "--label", "night", code=3)
    assert "you have no job with the label night that has not ended" in err
    bench.run("cancel", "--all")
    assert set(states().values()) == {"cancelled"}
    assert "you have no job that has not ended" in bench.run("cancel", "--all", code=3)[1]
    bench.run("resume", "--all")
    bench.run("retry", "--label", "day", "--wait")
    bench.run("wait", "--label", "day")
    for args in (("cancel",), ("cancel", "1", "--all"), ("wait",), ("rm", "--ended", "--label", "x")):
        assert "name jobs by their numbers or names, or give --label" in bench.run(*args, code=2)[1]
    assert bench.run("rm", "--label", "night")[0] == "3 jobs removed\n"
    assert states() == {3: "done"}
    bench.end_service()


def test_removed_jobs_are_gone_for_good_and_their_outputs_stay(bench):
    voxels = bench.volume()
    bench.serve()
    bench.run("submit", "--wait", copy_job(bench, "a"))
    bench.run("submit", "--wait", copy_job(bench, "b"))
    logs = bench.folder / "state" / "blockmill" / "jobs"
    assert {path.name for path in logs.iterdir()} == {"1", "2"}
    bench.run("pause", "--all")
    bench.run("submit", "--after", "2", copy_job(bench, "c"))
    _, err = bench.run("rm", "1", "3", code=6)
    assert "job 3 is queued; cancel it first: blockmill cancel 3" in err
    assert bench.run("rm", "1")[0] == "1 job removed\n"
    assert bench.run("rm", "--ended", "--json")[0].count('"id":') == 1
    assert "there is no job 1" in bench.run("status", "1", code=3)[1]
    assert list(logs.glob("[12]")) == []
    bench.kill_service()
    bench.serve()
    bench.run("resume", "--all")
    bench.run("wait", "3")  # its predecessor was done
    with bench.client() as client:
        assert [info.id for info in client.jobs()] == [3]
        client.remove(3)
        assert client.jobs() == []
        assert client.remove_ended() == []
    bench.kill_service()
    bench.serve()
    bench.run("submit", "--wait", copy_job(bench, "d"))
    with bench.client() as client:
        assert [info.id for info in client.jobs()] == [4]
    for name in "abcd":
        assert np.array_equal(np.load(bench.folder / f"{name}.npy"), voxels)
    bench.end_service()


def test_the_same_from_asyncio(bench):
    bench.volume()
    bench.serve()

    async def steps():
        async with AsyncClient(bench.socket) as client:
            infos = [await client.submit(bench.folder / copy_job(bench, name), label="l") for name in "ab"]
            assert [info.state for info in await client.wait(infos)] == ["done", "done"]
            assert [info.id for info in await client.find(label="l")] == [1, 2]
            assert [info.id for info in await client.remove("a")] == [1]
            with pytest.raises(TypeError):
                await client.wait({1, 2})
            assert [info.id for info in await client.remove_ended(label="l")] == [2]

    asyncio.run(steps())
    bench.end_service()


def test_a_retry_takes_an_edited_job_file_and_says_what_it_does_not_take(bench):
    voxels = bench.volume()
    wrong = voxels.copy()
    wrong[0] = 0
    np.save(bench.folder / "wrong.npy", wrong)
    bench.serve()
    cure = str(bench.folder / "cure")

    def submitted():
        text = (bench.folder / "job.yaml").read_text()
        (bench.folder / "job.yaml").write_text(text.replace("input: in.npy", "input: wrong.npy"))
        return "job.yaml"

    bench.steps_job(
        "steps:raises_until",
        {"at": [20, 0, 0], "cure": cure},
        output="out.json",
        retries=0,
        on_error="finish",
    )
    bench.run("submit", "--wait", submitted(), code=1)
    (bench.folder / "cure").touch()
    text = (bench.folder / "job.yaml").read_text()
    (bench.folder / "job.yaml").write_text(text.replace("input: wrong.npy", "input: in.npy"))

    # As it was submitted, and that is said.
    _, err = bench.run("retry", "job", "--wait")
    assert (
        f"job 1 runs again as it was submitted; {bench.folder / 'job.yaml'} has changed since (input)" in err
    )
    assert "blockmill retry 1 --job " in err
    assert np.array_equal(bench.read(), wrong)
    bench.end_service()


def test_an_edited_job_goes_on_or_is_refused_as_any_other(bench):
    voxels = bench.volume()
    bench.volume("other.npy", dtype=np.uint8)
    bench.serve()
    cure = str(bench.folder / "cure")
    options = {"output": "out.json", "retries": 0, "on_error": "finish"}
    bench.steps_job("steps:raises_until", {"at": [20, 0, 0], "cure": cure}, **options)
    bench.run("submit", "--wait", "--label", "mine", "job.yaml", code=1)
    (bench.folder / "cure").touch()
    text = (bench.folder / "job.yaml").read_text()

    def edited(old, new):
        assert old in text
        (bench.folder / "edited.yaml").write_text(text.replace(old, new))
        return "edited.yaml"

    # Nothing changes where it is refused at once,
    for changed, code, words in (
        (("out.json", "new.json"), 6, "name the same output, or submit the file"),
        (("retries: 0", "retires: 0"), 5, "did you mean retries"),
    ):
        _, err = bench.run("retry", "1", "--job", edited(*changed), code=code)
        assert words in err
    assert "can't be read" in bench.run("retry", "1", "--job", "missing.yaml", code=5)[1]
    assert "--job is for one job" in bench.run("retry", "--label", "mine", "--job", "job.yaml", code=2)[1]
    # nor where the output is found to be of another job: blocks and failures are still there.
    _, err = bench.run("retry", "1", "--wait", "--job", edited("in.npy", "other.npy"), code=1)
    assert "belongs to another job" in err
    with bench.client() as client:
        info = client.job(1)
        assert (info.state, info.done, info.failed, info.label) == ("failed", 3, 1, "mine")
        assert len(client.failures(1)) == 1
        assert client.spec(1).input.address.endswith("other.npy")
    # What decides no voxel may change, and what is finished is kept.
    bench.run("retry", "1", "--wait", "--job", edited("retries: 0", "retries: 1"))
    with bench.client() as client:
        info = client.job(1)
        assert (info.state, info.done, info.skipped, info.name) == ("done", 4, 3, "job")
        assert client.spec(1).retries == 1
    assert np.array_equal(bench.read(), voxels)
    bench.end_service()


def test_the_last_lines_of_a_log_young_ones_and_errors(bench):
    bench.volume()
    bench.serve()
    bench.run("submit", "--wait", bench.steps_job("steps:chatty", {"lines": 200}, rows=10))
    texts = [line["text"] for line in json.loads(bench.run("logs", "1", "--json")[0])["lines"]]

    def lines(*args):
        return [line["text"] for line in json.loads(bench.run("logs", "job", "--json", *args)[0])["lines"]]

    assert len(texts) > 800
    for count in (0, 1, 5, 300, 700, 5000):
        assert lines("-n", str(count)) == texts[len(texts) - min(count, len(texts)) :]
    assert lines("-n", "3", "-f") == texts[-3:]
    assert lines("--since", "1h") == texts
    assert lines("--since", "0s") == []
    assert lines("--errors") == []
    assert "--since" in bench.run("logs", "1", "--since", "yesterday", code=2)[1]
    bench.run("submit", "--wait", bench.steps_job("steps:raises", {"at": [0, 0, 0]}, output="b.npy"), code=1)
    errors = json.loads(bench.run("logs", "2", "--errors", "--json")[0])["lines"]
    kinds = [line.get("kind", "job") for line in errors]
    assert kinds == ["retry", "retry", "failed", "job"]
    bench.end_service()


def test_a_priority_may_be_negative(bench):
    bench.volume()
    bench.serve()
    bench.run("pause", "--all")
    bench.run("submit", "--priority", "-5", copy_job(bench, "a"))
    bench.run("submit", copy_job(bench, "b"))
    with bench.client() as client:
        assert [client.job(number).priority for number in (1, 2)] == [-5, 0]
        bench.run("priority", "1", "2", "-7")
        assert [client.job(number).priority for number in (1, 2)] == [-7, -7]
    assert "No such option '--jsn'" in bench.run("priority", "1", "--jsn", "3", code=2)[1]
    assert "No such option '-x'" in bench.run("priority", "1", "-x", code=2)[1]
    assert "not a whole number" in bench.run("priority", "1", "high", code=2)[1]
    bench.end_service()


def test_an_empty_list_says_of_what(bench):
    bench.volume()
    bench.serve()
    assert bench.run("ls")[1] == "no jobs; submit one with: blockmill submit JOB.yaml\n"
    bench.run("submit", "--wait", copy_job(bench))
    assert bench.run("ls", "--label", "x y")[1] == "no job has the label x y\n"
    _, err = bench.run("ls", "--state", "failed", "--state", "done_with_failures", "--label", "x")
    assert err == "no job is failed or done with failures and has the label x\n"
    bench.end_service()


@pytest.mark.parametrize(
    "args", [("ls", "--watch", "--json"), ("status", "--watch", "--json"), ("top", "--jsonl")]
)
def test_what_is_shown_until_ctrl_c_ends_with_its_code(bench, args):
    bench.serve()
    watching = bench.start(*args)
    assert json.loads(watching.stdout.readline())["schema"] == 1
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (130, "")
    bench.end_service()


def test_a_log_is_followed_from_its_last_lines_on(bench, wait_until):
    bench.volume()
    bench.serve()
    bench.submit(bench.gated_job())
    wait_until(lambda: len(bench.begun()) >= 2, "two blocks")
    following = bench.start("logs", "job", "-f", "-n", "1", "--jsonl")
    first = json.loads(following.stdout.readline())["line"]["text"]
    bench.open_gate()
    out, _ = following.communicate(timeout=60)
    texts = [json.loads(line)["line"]["text"] for line in out.splitlines()]
    with bench.client() as client:
        written = [line.text for line in client.logs(1)]
    assert [first, *texts] == written[-1 - len(texts) :]
    assert texts[-1] == "done"
    bench.end_service()

"""The tarball for bug reports, written where secrets lie about."""

import json
import re
import tarfile

TOKEN, PASSWORD, QUERY = "tok3n-of-the-image-server", "hunter2hunter2", "signed-by-9f8e7d"
SPILLS = """

def spills(block, context, text):
    print(text, flush=True)
    raise RuntimeError(text)
"""


def contents(path):
    with tarfile.open(path) as tar:
        return {member.name.partition("/")[2]: tar.extractfile(member).read().decode() for member in tar}


def spill(bench):
    """A failed job that has said all secrets aloud, and a service that knows it."""
    bench.run("keys", "new")
    file = bench.folder / "config" / "blockmill" / "keys" / "client.key_secret"
    secret = re.search(r'secret-key = "(.*)"', file.read_text())[1]
    steps = bench.folder / "steps.py"
    steps.write_text(steps.read_text() + SPILLS)
    bench.environ["BLOCKMILL_TOKENS"] = f"img.example:8080 {TOKEN}"
    bench.volume()
    url = f"http://ann:{PASSWORD}@img.example/x?sig={QUERY}"
    text = f"{secret} {TOKEN} {url}"
    job = bench.steps_job("steps:spills", {"text": text}, rows=40, retries=0)
    bench.serve()
    number = bench.submit(job)
    with bench.client() as client:
        assert client.wait(number).state == "failed"
    return number, (secret, TOKEN, PASSWORD, QUERY)


def test_the_report_tells_much_and_no_secret(bench):
    number, secrets = spill(bench)
    out, _ = bench.run("bug-report", "-o", "r.tar.gz")
    files = contents(bench.folder / "r.tar.gz")
    assert [line.split()[0] for line in out.splitlines()] == ["r.tar.gz", *files]
    assert (bench.folder / "r.tar.gz").stat().st_mode & 0o777 == 0o600
    for secret in secrets:
        assert not [name for name, text in files.items() if secret in text]
    (job,) = json.loads(files["jobs.json"])["jobs"]
    assert job["state"] == "failed" and "img.example" in json.dumps(job)
    assert "RuntimeError" in files[f"job-{number}.log"]
    assert json.loads(files["service.json"])["service"]["pid"] == bench.service.pid
    assert json.loads(files["environment.json"])["BLOCKMILL_TOKENS"] == "[removed]"
    assert "numpy" in files["packages.txt"] and "HDF5" in files["doctor.txt"]
    bench.end_service()


def test_without_a_service_the_rest_is_told(bench):
    bench.run("bug-report", "-o", "r.tar.gz")
    files = contents(bench.folder / "r.tar.gz")
    assert "no service answers" in files["service.missing"]
    assert json.loads(files["configuration.json"])["sources"] == []


def test_an_older_report_is_not_overwritten(bench):
    (bench.folder / "r.tar.gz").write_text("precious")
    _, err = bench.run("bug-report", "-o", "r.tar.gz", code=6)
    assert "File exists" in err
    assert (bench.folder / "r.tar.gz").read_text() == "precious"

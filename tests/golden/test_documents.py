"""The shapes of the documents that verbs print: keys, and kinds of values."""

import re

KINDS = {str: "text", bool: "true or false", int: "whole number", float: "number", type(None): "null"}

DEPENDS = (".warnings",)  # on the machine, whether there are any


def shape_of(value, at="", found=None):
    """Each path in a document, with the kinds of value that are there."""
    found = {} if found is None else found
    if isinstance(value, dict):
        kind = "mapping" if value else "empty mapping"
        for key, inner in value.items():
            shape_of(inner, f"{at}.{'N' if key.isdigit() else key}", found)
    elif isinstance(value, list):
        kind = "list" if value or at in DEPENDS else "empty list"
        for inner in value:
            shape_of(inner, f"{at}[]", found)
    else:
        kind = "1" if at == ".schema" and value == 1 else KINDS[type(value)]
    found.setdefault(at, set()).add(kind)
    return found


THINGS = {
    ".jobs[]": "job",
    ".job": "job",
    ".service": "service",
    ".workers[]": "worker",
    ".failures[]": "failed block",
    ".failures.N[]": "failed block",
    ".lines[]": "line of a log",
    ".line": "line of a log",
}
"""What several documents hold is written once; each of them says what it leaves out of it."""


class Recorder:
    """Runs commands and notes the shape of what they print."""

    def __init__(self, commands, folder):
        self._commands = commands
        self._folder = folder
        self._told = []
        self._things = {}

    def run(self, *args):
        """Run one that prints no document; what it prints."""
        ended = self._commands.run(*args, folder=self._folder)
        assert ended.code == 0, ended
        return ended.out.strip()

    def tell(self, *args, codes=(0,)):
        """Run one; its documents."""
        ended = self._commands.run(*args, folder=self._folder)
        assert ended.code in codes, ended
        shape = {}
        for document in ended.documents:
            shape_of(document, found=shape)
        words = " ".join("N" if re.fullmatch(r"\d+", word) else word for word in args)
        words = words.replace(str(self._folder), "HERE")
        self._told.append((words, shape))
        for path, thing in THINGS.items():
            for inner, kinds in parts_of(shape, path).items():
                self._things.setdefault(thing, {}).setdefault(inner, set()).update(kinds)
        return ended.documents

    @property
    def text(self):
        """All documents, then the things in them."""
        lines = []
        for words, shape in self._told:
            lines += [f"$ blockmill {words}", *self._lines(shape)]
        for thing, shape in sorted(self._things.items()):
            lines += [f"=== {thing}", *lines_of(shape)]
        return "\n".join(lines) + "\n"

    def _lines(self, shape):
        inside = {f"{path}{inner}" for path in THINGS for inner in parts_of(shape, path)}
        rest = {path: kinds for path, kinds in shape.items() if path not in inside}
        for path, thing in THINGS.items():
            if parts := parts_of(shape, path):
                left_out = sorted(keys_of(self._things[thing]) - keys_of(parts))
                rest[path] = {f"a {thing}" + (f" without {', '.join(left_out)}" if left_out else "")}
        return lines_of(rest)


def parts_of(shape, path):
    """What lies in the mapping at `path`, by paths from there."""
    return {at.removeprefix(path): kinds for at, kinds in shape.items() if at.startswith(f"{path}.")}


def keys_of(parts):
    return {path[1:] for path in parts if re.fullmatch(r"\.\w+", path)}


def lines_of(shape):
    return [f"    {path[1:]}: {' | '.join(sorted(kinds))}" for path, kinds in sorted(shape.items()) if path]


def test_documents_of_verbs_that_need_no_service(golden, commands, fresh, job_file):
    folder = fresh()
    recorder = Recorder(commands, folder)
    tell = recorder.tell
    good = job_file(folder)
    bad = job_file(folder, "raises", "bad.json", "bad.yaml", args={"at": 10}, retries=0, on_error="finish")
    tell("run", "--dry-run", "--json", good)
    tell("submit", "--dry-run", "--json", good)
    tell("run", "--json", good)
    tell("run", "--json", bad, codes=(1,))
    for address in ("out.json", "in.npy", "in.h5/volume/data"):
        tell("volume", "info", "--json", address)
    tell("volume", "verify", "--json", "out.json")
    block = sorted((folder / "out_blocks").rglob("*.h5"))[0]
    block.write_bytes(b"x")
    tell("volume", "verify", "--json", "out.json", codes=(1,))
    (folder / "c.yaml").write_text("workers: {count: 2}\n")
    (folder / "wrong.yaml").write_text("zzz: 1\n")
    tell("config", "show", "--json", "c.yaml")
    tell("config", "show", "--json", "--origin", "c.yaml")
    tell("config", "check", "--json", "c.yaml")
    tell("config", "check", "--json", "wrong.yaml", codes=(5,))
    recorder.run("keys", "new", "--folder", "keys")
    tell("keys", "list", "--json", "--folder", "keys")
    tell("version", "--json", "--socket", "nowhere")
    golden("documents.txt", recorder.text)


def ids(documents):
    return [str(info["id"]) for info in documents[0]["jobs"]]


def ended_jobs(recorder, job_file, folder):
    """Documents of jobs that wait, and that have ended."""
    tell = recorder.tell
    good = job_file(folder, "prints", "good.json", "good.yaml", label="x")
    bad = job_file(folder, "raises", "bad.json", "bad.yaml", args={"at": 10}, retries=0, on_error="finish")
    tell("pause", "--all", "--json")
    numbers = ids(tell("submit", "--json", good, bad))
    for form in ("--json", "--jsonl"):
        tell("ls", "--state", "queued", form)
    recorder.run("resume", "--all")
    tell("wait", "--json", *numbers, codes=(1,))
    tell("wait", "--jsonl", numbers[0])
    tell("status", "--json", *numbers)
    tell("status", "--jsonl", numbers[1])
    tell("status", "--json")
    tell("watch", "--json", numbers[0])
    tell("watch", "--jsonl", numbers[0])
    for form in ("--json", "--jsonl"):
        tell("logs", form, numbers[0])
    tell("submit", "--wait", "--json", good)
    tell("submit", "--follow", "--json", good)
    tell("rm", "--json", numbers[0])


def test_documents_of_verbs_of_the_service(golden, commands, service, job_file, wait_until):
    folder = service.folder
    recorder = Recorder(commands, folder)
    tell = recorder.tell
    tell("version", "--json")
    tell("workers", "--json")
    ended_jobs(recorder, job_file, folder)
    gated = job_file(folder, "gated", "gated.json", "gated.yaml", args={"gate": str(folder / "gate")})
    number = recorder.run("submit", "--id-only", gated)
    with service.client() as client:
        wait_until(lambda: client.job(int(number)).running == 2, "two blocks at work")
        wait_until(lambda: all(w.block is not None for w in client.workers()), "two workers at work")
    for verb in ("status", "top", "workers"):
        tell(verb, "--json")
    tell("top", "--jsonl", "--once")
    tell("priority", number, "5", "--json")
    tell("pause", number, "--json")
    tell("resume", number, "--json")
    tell("cancel", number, "--json")
    (folder / "gate").touch()
    tell("retry", number, "--wait", "--json")
    tell("workers", "set", "2", "--json")
    tell("drain", "--wait", "--json")
    recorder.run("resume", "--all")
    tell("doctor", "--json", str(folder), codes=(0, 1))  # how this machine is, is not asked
    golden("documents-service.txt", recorder.text)

"""Exit codes: a command for each."""


def test_each_exit_code_has_a_command(golden, commands, service, fresh, job_file, half_done):
    interrupted = half_done("out.json")
    folder = fresh()
    good, bad = job_file(folder), job_file(folder, "raises", "bad.npy", "bad.yaml", args={"at": 0}, retries=0)
    other = job_file(folder, {"threshold": {"above": 1}}, name="other.yaml")
    gate = service.folder / "gate-of-codes"
    gated = job_file(service.folder, "gated", "codes.npy", "codes.yaml", args={"gate": str(gate)})
    number = commands.run("submit", "--id-only", gated, folder=service.folder).out.strip()
    tried = [
        ("run", "-q", good),
        ("run", "-q", bad),
        ("run", "--no-such-option"),
        ("status", "999"),
        ("status", "--socket", "nowhere"),
        ("run", "-q", "missing.yaml"),
        ("run", "-q", other),
        ("wait", number, "--timeout", "0"),
    ]
    lines = []
    for args in tried:
        code = commands.run(*args, folder=folder).code
        lines.append(f"{code}  blockmill {' '.join('N' if word == number else word for word in args)}")
    gate.touch()
    assert commands.run("wait", number, folder=folder).code == 0
    lines += [f"{interrupted.code}  blockmill run job.yaml, and Ctrl-C", "", interrupted.err.strip()]
    golden("exit-codes.txt", "\n".join(lines) + "\n")

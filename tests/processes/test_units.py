"""The units are installed where they belong, and taken away again."""

from pathlib import Path


def test_a_persons_units_are_written_and_taken_away(bench):
    out, err = bench.run("service", "install", "--command", "/opt/bin/blockmill")
    written = [Path(line) for line in out.splitlines()]
    folder = bench.folder / "config" / "systemd" / "user"
    assert written == [folder / "blockmill.service", folder / "blockmill.socket"]
    assert "ExecStart=/opt/bin/blockmill serve\n" in written[0].read_text()
    assert "systemctl --user enable --now blockmill" in err
    bench.run("service", "uninstall")
    assert not any(path.exists() for path in written)


def test_a_command_in_a_folder_with_blanks_is_one_word_of_the_unit(bench):
    for path, word in {
        "/opt/my tools ä/blockmill": '"/opt/my tools ä/blockmill"',
        "/opt/100%/blockmill": "/opt/100%%/blockmill",
        '/opt/a"b\\c/blockmill': r'"/opt/a\"b\\c/blockmill"',
    }.items():
        out, _ = bench.run("service", "install", "--command", path)
        assert f"ExecStart={word} serve\n" in Path(out.splitlines()[0]).read_text()


def test_a_persons_units_may_be_staged_too(bench):
    stage = bench.folder / "stage"
    options = ("--user", "--root", str(stage), "--command", "/opt/bin/blockmill")
    out, _ = bench.run("service", "install", *options)
    written = [Path(line) for line in out.splitlines()]
    folder = stage / (bench.folder / "config").relative_to("/") / "systemd" / "user"
    assert written == [folder / "blockmill.service", folder / "blockmill.socket"]
    assert not (bench.folder / "config").exists()


def test_what_the_services_account_can_not_reach_is_refused(bench):
    hidden = bench.folder / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "blockmill").touch()
    options = ("--system", "--root", str(bench.folder / "stage"), "--command", str(hidden / "blockmill"))
    _, err = bench.run("service", "install", *options, code=6)
    assert "only some may enter" in err and "/opt/blockmill" in err

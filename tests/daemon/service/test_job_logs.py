"""The logs of all jobs in their folder."""

from blockmill.daemon.service.job_logs import JobLogs


def test_lines_of_a_removed_job_do_not_come_back(tmp_path):
    logs = JobLogs(tmp_path)
    logs.add_text(1, "done")
    logs.write()
    logs.add_text(1, "one more")
    logs.remove(1)
    logs.write()
    assert list(tmp_path.iterdir()) == []


def test_logs_of_jobs_that_are_gone_are_removed_at_the_start(tmp_path):
    logs = JobLogs(tmp_path)
    for number in (1, 2, 3, 12):
        logs.add_text(number, "done")
    logs.write()
    (tmp_path / "notes").mkdir()
    JobLogs(tmp_path).remove_unknown({2}, last_id=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["12", "2", "notes"]
    JobLogs(tmp_path / "none").remove_unknown({2}, last_id=3)

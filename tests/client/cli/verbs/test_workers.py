import pytest
from click.testing import CliRunner

from blockmill.client.cli import options
from blockmill.client.cli.main import cli
from blockmill.client.formatting.tables import service_text
from blockmill.shared.messages.service import ServiceInfo


def service_info(workers):
    return ServiceInfo(
        version="1",
        pid=7,
        workers=workers,
        allowed=workers,
        started_s=0.0,
        draining=False,
        quiet=True,
        jobs=0,
        state_dir="/s",
    )


class Service:
    """Answers as the service does that has so many workers now."""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def set_workers(self, count):
        return service_info(count)


@pytest.mark.parametrize(("count", "text"), [(1, "1 worker"), (2, "2 workers")])
def test_the_number_of_workers_agrees_with_its_noun(monkeypatch, count, text):
    monkeypatch.setattr(options, "client", lambda socket: Service())
    done = CliRunner().invoke(cli, ["workers", "set", str(count)])
    assert done.exit_code == 0, done.output
    assert done.output == f"{text}\n"
    assert f"; {text}" in service_text(service_info(count))

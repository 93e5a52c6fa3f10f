"""Each request has one method that meets it."""

from concurrent.futures import Future
from typing import get_args

import pytest

from blockmill.daemon.service import requests
from blockmill.daemon.service.server import _reply_maker
from blockmill.shared.errors import NoSuchJob, StorageError
from blockmill.shared.messages import service as p

KINDS = set(p.Request.__subclasses__())


def test_each_request_is_in_the_union_and_is_met():
    assert set(get_args(p.AnyRequest)) == KINDS
    assert set(requests._HANDLERS) == KINDS


def test_each_request_names_a_reply_that_can_be_sent():
    assert {kind.reply for kind in KINDS} < set(get_args(p.AnyReply)) == set(p.Reply.__subclasses__())


def test_a_second_method_for_a_request_is_refused():
    with pytest.raises(TypeError, match="Drain has two"):
        requests.handles(p.Drain)(lambda handles, request, uid: request)


@pytest.mark.parametrize("saved", [True, False])
def test_an_answer_about_a_job_that_is_gone_meanwhile_is_a_refusal(saved):
    future = Future()
    future.set_result(None) if saved else future.set_exception(StorageError("no room"))

    def gone(*_):
        raise NoSuchJob("there is no job 1")

    reply = _reply_maker(future, requests.Later(future, gone, gone))()
    assert (reply.kind, reply.message) == ("no_such_job", "there is no job 1")

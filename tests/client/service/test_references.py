"""How a job is named: by number, name or JobInfo, and which one a name means."""

import numpy as np
import pytest

from blockmill.client.service.references import chosen, labelled, number_of
from blockmill.shared.errors import NoSuchJob, Refused
from blockmill.shared.messages.records import JobInfo


def job(number, state):
    return JobInfo(id=number, name="n", owner=0, output="o", submitted_s=0.0, state=state)


@pytest.mark.parametrize(
    ("given", "number"), [(3, 3), (np.int64(4), 4), (job(5, "done"), 5), ("n", None), ("7", None)]
)
def test_what_names_a_job(given, number):
    assert number_of(given) == number


@pytest.mark.parametrize("given", [None, True, 1.0, [1], (1, 2), b"n", object()])
def test_anything_else_is_a_type_error_that_says_what_is_taken(given):
    with pytest.raises(TypeError, match="number, its name or its JobInfo"):
        number_of(given)


@pytest.mark.parametrize(
    ("states", "job_filter", "number"),
    [
        (["done", "running", "queued", "failed"], "all", 3),
        (["done", "failed"], "all", 2),
        (["done", "running", "failed"], "active", 2),
        (["done", "running", "failed"], "retryable", 3),
        (["queued", "done", "running"], "ended", 2),
        (["done", "failed"], "active", 2),  # it applies to none: the service says why
    ],
)
def test_the_job_that_a_name_means(states, job_filter, number):
    assert chosen("n", [job(i, state) for i, state in enumerate(states, 1)], job_filter).id == number


def test_a_name_of_several_is_refused_where_something_is_changed():
    jobs = [job(number, "failed") for number in range(1, 13)]
    with pytest.raises(Refused, match="jobs 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more; give the number"):
        chosen("n", jobs, "ended")
    with pytest.raises(Refused, match="jobs 2, 3; give"):
        chosen("n", [job(1, "done"), job(2, "failed"), job(3, "cancelled")], "retryable")


def test_no_job_of_a_name_or_a_label():
    with pytest.raises(NoSuchJob, match="of the name n;"):
        chosen("n", [], "all")
    with pytest.raises(NoSuchJob, match="you have no job with the label x that has not ended"):
        labelled("x", [job(1, "done")], "active")
    with pytest.raises(NoSuchJob, match="you have no job that has ended"):
        labelled(None, [job(1, "running")], "ended")
    assert [info.id for info in labelled("x", [job(1, "done"), job(2, "failed")], "retryable")] == [2]

"""Which priorities users may give to their jobs."""

import os

import pytest

from blockmill.daemon.service.access import Rights
from blockmill.daemon.service.admission import check_priority
from blockmill.shared.config.model import Access, Limits
from blockmill.shared.errors import Refused

OWN, ANN = os.getuid(), 60_123
RIGHTS = Rights(Access(), system=False)


def test_lower_priorities_are_free_and_higher_ones_for_admins():
    limits = Limits(priority=3)
    for priority in (3, 0, -1, -(2**63)):
        check_priority(limits, RIGHTS, ANN, priority)
    with pytest.raises(Refused, match=r"priority: 4 is above 3, .*limits\.priority"):
        check_priority(limits, RIGHTS, ANN, 4)
    check_priority(limits, RIGHTS, OWN, 2**62)


def test_users_can_not_go_before_everybody_unless_it_is_configured():
    with pytest.raises(Refused, match="priority: 1 is above 0"):
        check_priority(Limits(), RIGHTS, ANN, 1)


def test_not_even_an_admin_can_give_more_than_the_journal_holds():
    with pytest.raises(Refused, match="64 bits"):
        check_priority(Limits(), RIGHTS, OWN, 2**63)

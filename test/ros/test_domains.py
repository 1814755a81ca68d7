"""DDS domains: each run has its own, whoever else runs."""

import socket
import subprocess
import sys

import pytest

from trajforecast_ros import domains
from trajforecast_ros.domains import reserve_domain

# Beyond those that anybody is given.
THREE, OTHER_THREE = range(102, 105), range(105, 108)
RESERVE_AND_WAIT = f"""
from trajforecast_ros import domains
domains.DOMAINS = {THREE!r}
print(domains.reserve_domain(), flush=True)
input()
"""


@pytest.fixture
def only(monkeypatch):
    """only(range): there are no other domains; their reservations are given back in the end."""
    monkeypatch.setattr(domains, "_reservations", [])
    yield lambda chosen: monkeypatch.setattr(domains, "DOMAINS", chosen)
    for reservation in domains._reservations:
        reservation.close()


def test_no_domain_is_given_twice_until_its_process_ends(only):
    only(THREE)
    other = subprocess.Popen([sys.executable, "-c", RESERVE_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        theirs = int(other.stdout.readline())
        assert {theirs, reserve_domain(), reserve_domain()} == set(THREE)
        with pytest.raises(OSError, match="all DDS domains"):
            reserve_domain()
        other.kill()
    assert reserve_domain() == theirs


def test_a_domain_on_which_anybody_talks_is_left_alone(only):
    """Fast DDS shares this port between participants, which is what a participant looks like from outside."""
    only(OTHER_THREE)
    first, talking, last = OTHER_THREE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        participant.bind(("", 7400 + 250 * talking))
        assert {reserve_domain(), reserve_domain()} == {first, last}
        with pytest.raises(OSError, match="all DDS domains"):
            reserve_domain()

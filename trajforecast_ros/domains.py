"""A DDS domain that nobody else on this machine uses."""

import random
import socket

# 0 is everybody's; those above 101 are not to be had everywhere, since their ports are given to any program.
DOMAINS = range(1, 102)
_reservations: list[socket.socket] = []


def reserve_domain() -> int:
    """A ROS_DOMAIN_ID that is this process's own until it ends, however it ends.

    Raises:
        OSError: when all are taken.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        # A name in Linux's list of sockets, not a file: it is gone with this process.
        reservation = _bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0trajforecast_domain_{domain}")
        if reservation is None:
            continue
        if not _is_used(domain):
            _reservations.append(reservation)
            return domain
        reservation.close()
    raise OSError(f"all DDS domains from {DOMAINS[0]} to {DOMAINS[-1]} are taken; end ROS programs that are left over")


def _is_used(domain: int) -> bool:
    """Whether a participant is there, of whatever program: it listens where the others would announce themselves."""
    probe = _bound(socket.AF_INET, socket.SOCK_DGRAM, ("", 7400 + 250 * domain))
    if probe is None:
        return True
    probe.close()
    return False


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address) -> socket.socket | None:
    bound = socket.socket(family, kind)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        return None
    return bound

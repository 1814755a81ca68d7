"""Hearing whatever is said on a topic, whether its publishers latch or not.

A subscription that asks for latched messages hears no ordinary publisher, and one that does not misses what was said
before it came. So there are several on the topic, and each message counts once.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

from trajforecast_ros.qos import SAID_BEFORE, SAID_NOW

REMEMBERED = 64  # messages, of which another subscription may still bring the copy
OLD = 1.0  # seconds; what is younger may be such a copy


class EveryPublisher:
    """Gives each message of a topic to a callback.

    A latched message that is older than what was last heard, or said otherwise (`overrule`), is left out, and the log
    says so. Older is told by the publishers' clocks; what is said while this listens counts whatever they show.

    Args:
        message_type, topic, callback: as for a subscription.
    """

    def __init__(self, node: Node, message_type: type, topic: str, callback: Callable[[Any], None]):
        self._callback = callback
        self._logger = node.get_logger()
        self._topic = node.resolve_topic_name(topic)
        self._said_at = 0  # nanoseconds of the system's clock
        self._heard: deque[tuple] = deque(maxlen=REMEMBERED)
        # Each of them asks for more than some publisher offers, which is nothing to warn of.
        quiet = SubscriptionEventCallbacks(incompatible_qos=lambda _: None)
        # Of what is said now the executor takes the ordinary copy first, and that it is no old one is certain.
        for profile, latched in (*((profile, False) for profile in SAID_NOW), (SAID_BEFORE, True)):
            on_message = partial(self._on_message, latched)
            node.create_subscription(message_type, topic, on_message, profile, event_callbacks=quiet)

    def overrule(self, at: int) -> None:
        """Something was said elsewhere, say by a parameter: what was latched before does not count any more.

        Args:
            at: nanoseconds of the system's clock.
        """
        self._said_at = at

    def _on_message(self, latched: bool, message: Any, info: dict) -> None:
        said_at = info["source_timestamp"]
        this = (said_at, info["publication_sequence_number"])
        if this in self._heard:
            return
        now = time.time_ns()
        if latched and said_at <= self._said_at:
            ago = (now - said_at) / 1e9
            if ago > OLD:
                self._logger.info(f"left out what was said on {self._topic} {ago:.0f} s ago, before what counts now")
            return
        self._heard.append(this)
        self._callback(message)
        self._said_at = said_at if latched else max(said_at, now)

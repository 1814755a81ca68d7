"""Hearing whatever is said on a topic: by publishers that latch, that do not, and that promise nothing."""

import time

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from std_msgs.msg import String

from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.qos import LATCHED

TOPIC = "said"
LATCHED_BEST_EFFORT = QoSProfile(
    depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.BEST_EFFORT
)


class Room:
    """One who hears, and those who speak."""

    def __init__(self, listener):
        self.listener = listener
        self.heard: list[str] = []
        self._hearing: EveryPublisher | None = None

    def hear(self) -> EveryPublisher:
        return EveryPublisher(self.listener.node, String, TOPIC, lambda message: self.heard.append(message.data))

    def speaker(self, qos=10):
        return self.listener.node.create_publisher(String, TOPIC, qos)

    def wait_for(self, *words: str) -> None:
        self.listener.wait_for(lambda: self.heard[-len(words) :] == list(words), f"hearing {words}")

    def say(self, speaker, word: str, subscriptions: int) -> None:
        self.listener.wait_for(lambda: speaker.get_subscription_count() == subscriptions, "subscriptions")
        speaker.publish(String(data=word))
        self.wait_for(word)


@pytest.fixture
def room(listener) -> Room:
    return Room(listener)


@pytest.mark.parametrize(
    ("qos", "subscriptions"),
    [(10, 2), (qos_profile_sensor_data, 1), (LATCHED, 3), (LATCHED_BEST_EFFORT, 1)],
    ids=["as by default", "sensor data", "latched", "latched, best effort"],
)
def test_every_publisher_is_heard_and_each_message_once(room, qos, subscriptions):
    room.hear()
    speaker = room.speaker(qos)
    words = ["a", "b", "b", "c", "d"]
    for count, word in enumerate(words, start=1):
        room.say(speaker, word, subscriptions)
        room.listener.wait_for(lambda count=count: len(room.heard) == count, "the next word")
    # A copy that is still under way comes before what another speaker says next.
    room.say(room.speaker(LATCHED), "end", 3)

    assert room.heard == [*words, "end"]


def test_what_was_latched_before_is_heard_by_who_comes_late(room):
    room.speaker(LATCHED).publish(String(data="before"))
    room.hear()

    room.wait_for("before")


def test_of_several_latched_messages_the_last_said_counts(room):
    """However their publishers are found."""
    for word in ("first", "second", "third"):
        room.speaker(LATCHED).publish(String(data=word))
    room.hear()

    room.wait_for("third")
    room.say(room.speaker(), "end", 2)
    assert room.heard == sorted(room.heard, key=["first", "second", "third", "end"].index)


def test_what_was_latched_before_something_else_counted_does_not_replace_it(room):
    early = room.speaker(LATCHED)
    early.publish(String(data="early"))
    hearing = room.hear()
    hearing.overrule(time.time_ns())
    room.say(early, "later", 3)
    assert room.heard == ["later"]

    # Said live, then a subscription finds a publisher that latched something before that.
    other = room.speaker(LATCHED)
    other.publish(String(data="other"))
    room.heard.clear()
    second = Room(room.listener)
    second.hear().overrule(time.time_ns())
    second.say(room.speaker(), "now", 4)
    assert "other" not in second.heard


def test_what_is_said_now_counts_whatever_the_clocks_show(room):
    """The speaker's clock is behind: for this one, which was told something an hour from now."""
    hearing = room.hear()
    hearing.overrule(time.time_ns() + 3600 * 10**9)

    room.say(room.speaker(LATCHED), "now", 3)
    room.say(room.speaker(), "and now", 2)
    assert room.heard == ["now", "and now"]

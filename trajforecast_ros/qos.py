"""Quality of service of the topics."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# Images in: best effort takes from every publisher, and only the newest one counts.
NEWEST_IMAGE = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)

# Video in: each packet is the difference to the one before it, so none may be left out.
EVERY_PACKET = QoSProfile(depth=60, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)

# Forecasts out: large, and worth sending again when a part gets lost.
RESULT = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)

# Drawings: one message a view, which must not push each other out.
RESULT_OF_EACH_VIEW = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)

# What is said once, as the instruction: who comes late gets the last one.
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

# The same at the other end, from any publisher. What was said before comes through the first alone, from each publisher,
# and depth 1 would keep one publisher's; what is said now comes through the others, and only the newest counts.
SAID_BEFORE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SAID_NOW = (
    QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
    QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
)

# A replayed camera: reliable, for recorders that want every frame.
EVERY_IMAGE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

# A listener that wants every message, also when they come faster than it looks.
EVERYTHING = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)

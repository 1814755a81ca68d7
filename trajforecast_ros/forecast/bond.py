"""The bond by which nav2's lifecycle manager notices that a node which it activated is gone, where bondpy is installed."""

from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode

try:
    from bondpy.bondpy import Bond
except ImportError:
    Bond = None

TOPIC = "bond"
HEARTBEAT_TIMEOUT = 4.0  # seconds, nav2's


class ManagersBond:
    """From activation to deactivation; nothing without bondpy, or with a heartbeat period of 0 seconds."""

    def __init__(self, node: LifecycleNode, heartbeat_period: float):
        self._node = node
        self._bond = None
        if Bond is None or heartbeat_period == 0:
            return
        self._bond = Bond(node, TOPIC, node.get_name())
        self._bond.heartbeat_period = heartbeat_period
        self._bond.heartbeat_timeout = HEARTBEAT_TIMEOUT
        self._bond.start()

    def close(self) -> None:
        if self._bond is None:
            return
        try:
            self._bond.shutdown()
        except RCLError:
            # It says farewell; when the process was told to end nothing can be published any more.
            if self._node.context.ok():
                raise
        self._bond = None

"""LIBERO in MuJoCo as a robot on ROS: cameras, joints and gripper out, actions in.

Time is the simulator's own: every stamp is the number of control steps since the node started, at 20 Hz, and goes on
over resets. With `lockstep` the world stands still until an action comes, so that a policy as slow as it may be closes
the loop properly; without it the world runs at 20 Hz by the wall clock and the last action holds for `action_timeout`.

The simulator is the `sim` extra: pip install -e '.[sim]'.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Float32MultiArray, Header, String
from std_srvs.srv import Trigger

from trajforecast_model.sim.environment import CONTROL_HZ, OPEN_GRIPPER, TaskEnvironment, find_task
from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_ros.images import depth_message, to_message
from trajforecast_ros.qos import EVERY_IMAGE, LATCHED
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

WORLD = "world"
STAY = np.array([0.0] * 6 + [OPEN_GRIPPER])


@dataclass(frozen=True)
class SimulatorParameters:
    suite: str = field(default="libero_object", metadata=meaning("LIBERO suite"))
    task: int = field(default=0, metadata=meaning("Number of the task in its suite"))
    seed: int = field(default=0, metadata=meaning("Of the first scene; each reset takes the next", low=0))
    lockstep: bool = field(
        default=False, metadata=meaning("Step only when an action comes; false runs at 20 Hz by the wall clock")
    )
    steps_per_action: int = field(default=1, metadata=meaning("Control steps of each action", low=1))
    action_timeout: float = field(
        default=0.5, metadata=meaning("Seconds that an action holds when the world does not wait")
    )
    repeat_period: float = field(
        default=5.0, metadata=meaning("Seconds after which images are published again in lockstep", low=0.01)
    )
    image_size: int = field(default=128, metadata=meaning("Height and width of the images", low=16))
    publish_clock: bool = field(default=False, metadata=meaning("Publish simulated time on /clock"))
    depth: bool = field(default=False, metadata=meaning("Publish depth of the side view"))


class SimulatorNode(Node):
    """Raises ValueError when the simulator is not installed or a parameter is wrong."""

    def __init__(self):
        super().__init__("simulator_node")
        chosen = declare(self, SimulatorParameters, read_only=True)
        self._seed, self._lockstep = chosen.seed, chosen.lockstep
        self._steps_per_action, self._action_timeout = chosen.steps_per_action, chosen.action_timeout
        configure_mujoco()
        # It imports mujoco, which needs configure_mujoco() first.
        from trajforecast_model.sim.scene.live_view import LiveView

        self._environment = TaskEnvironment(find_task(chosen.suite, chosen.task))
        self._view = LiveView(self._environment, chosen.image_size)

        self._cameras = {
            view: self.create_publisher(Image, f"{view}/image_raw", EVERY_IMAGE) for view in self._view.views
        }
        self._gripper = self.create_publisher(PoseStamped, "gripper_pose", EVERY_IMAGE)
        self._joints = self.create_publisher(JointState, "joint_states", EVERY_IMAGE)
        self._camera_info = self.create_publisher(CameraInfo, "side/camera_info", LATCHED)
        self._camera_pose = self.create_publisher(PoseStamped, "side/camera_pose", LATCHED)
        self._depth = self.create_publisher(Image, "side/depth/image_raw", EVERY_IMAGE) if chosen.depth else None
        self._depth_info = (
            self.create_publisher(CameraInfo, "side/depth/camera_info", LATCHED) if chosen.depth else None
        )
        self._success = self.create_publisher(Bool, "~/success", LATCHED)
        self._instruction = self.create_publisher(String, "forecast_node/instruction", LATCHED)
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 10) if chosen.publish_clock else None
        self.create_subscription(Float32MultiArray, "~/action", self._on_action, 10)
        self.create_service(Trigger, "~/reset", self._on_reset)

        self._control_steps = 0
        self._action, self._action_steps_left = STAY, 0
        self._reset()
        self._instruction.publish(String(data=self._environment.task.instruction))
        # Wall time, for with use_sim_time the node's own clock would wait for this very timer.
        period = chosen.repeat_period if self._lockstep else 1 / CONTROL_HZ
        self._timer = self.create_timer(period, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        self._view.close()
        self._environment.close()
        self.destroy_node()

    def _on_action(self, message: Float32MultiArray) -> None:
        action = np.array(message.data, dtype=np.float64)
        if action.shape != (7,) or not np.isfinite(action).all():
            self.get_logger().error(
                f"refused an action of {len(message.data)} numbers; expected 7 finite ones: position, rotation, gripper"
            )
            return
        self._action = np.clip(action, -1, 1)
        if self._lockstep:
            self._step(self._steps_per_action)
            self._timer.reset()
        else:
            self._action_steps_left = max(self._steps_per_action, round(self._action_timeout * CONTROL_HZ))

    def _on_timer(self) -> None:
        if self._lockstep:
            # Images travel best effort: one that was lost would stop the world for good.
            self._show()
            return
        if self._action_steps_left == 0:
            self._action = np.append(np.zeros(6), self._action[6])  # stays, and holds what it holds
        else:
            self._action_steps_left -= 1
        self._step(1)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._seed += 1
        self._reset()
        response.success = True
        response.message = f"seed {self._seed}: {self._environment.task.instruction}"
        return response

    def _reset(self) -> None:
        self._environment.reset(self._seed)
        self._action, self._action_steps_left = STAY, 0
        self._control_steps += 1
        self._show()
        self.get_logger().info(f"seed {self._seed}: {self._environment.task.instruction}")

    def _step(self, count: int) -> None:
        for _ in range(count):
            self._environment.step(self._action)
        self._control_steps += count
        self._show()

    def _show(self) -> None:
        """Publishes everything that is to be seen of this moment."""
        stamp = Time(nanoseconds=self._control_steps * 1_000_000_000 // CONTROL_HZ).to_msg()
        if self._clock_publisher is not None:
            self._clock_publisher.publish(ClockMessage(clock=stamp))
        in_world = Header(stamp=stamp, frame_id=WORLD)
        self._gripper.publish(PoseStamped(header=in_world, pose=_pose_message(self._view.gripper_pose())))
        names, positions, velocities = self._view.joints()
        self._joints.publish(
            JointState(header=in_world, name=names, position=positions.tolist(), velocity=velocities.tolist())
        )
        self._camera_pose.publish(PoseStamped(header=in_world, pose=_pose_message(self._view.camera_pose("side"))))
        self._success.publish(Bool(data=self._environment.succeeded()))
        if self._depth is not None:
            header = Header(stamp=stamp, frame_id="side_camera_optical_frame")
            self._depth_info.publish(self._camera_info_message(header))
            self._depth.publish(depth_message(self._view.depth("side"), header))
        # The images come last: whoever answers them has the rest.
        for view, publisher in self._cameras.items():
            header = Header(stamp=stamp, frame_id=f"{view}_camera_optical_frame")
            if view == "side":
                self._camera_info.publish(self._camera_info_message(header))
            publisher.publish(to_message(self._view.image(view), header))

    def _camera_info_message(self, header: Header) -> CameraInfo:
        size, focal = self._view.image_size, self._view.focal_length("side")
        centre = (size - 1) / 2  # ROS counts from the centre of the top-left pixel
        return CameraInfo(
            header=header,
            height=size,
            width=size,
            distortion_model="plumb_bob",
            d=[0.0] * 5,
            k=[focal, 0.0, centre, 0.0, focal, centre, 0.0, 0.0, 1.0],
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=[focal, 0.0, centre, 0.0, 0.0, focal, centre, 0.0, 0.0, 0.0, 1.0, 0.0],
        )


def _pose_message(pose) -> Pose:
    x, y, z = pose.position.tolist()
    qx, qy, qz, qw = pose.orientation.tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


COMMAND = Command("simulator_node", "LIBERO in MuJoCo as a robot on ROS.", SimulatorParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(SimulatorNode, arguments, close=SimulatorNode.close, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())

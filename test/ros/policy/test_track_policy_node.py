"""track_policy_node over DDS: the same actions as in process, and what it does where something is missing."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from robot import LATCHED, NODE
from sensor_msgs.msg import Image, JointState
from simulated_robot import SIMULATOR, everything_moves
from std_msgs.msg import Float32MultiArray, Header, String
from tiny_policy import write_policy
from trajforecast_msgs.msg import TrackSummary

from trajforecast_model.policy.policy import Policy
from trajforecast_model.sim.environment import TaskEnvironment, find_task
from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_ros.images import to_message
from trajforecast_ros.policy.forecast_parameters import forecast_parameters
from trajforecast_ros.policy.track_policy_node import LIBERO_JOINTS
from trajforecast_ros.qos import EVERY_IMAGE, EVERYTHING, RESULT

TRACK_POLICY = "trajforecast_ros.policy.track_policy_node"
TASK, SEED, STEPS = 7, 100_000, 48  # of chunks that begin every 8 steps
WORDS = "pick up the milk and place it in the basket"
STEP_MS = 50


@pytest.fixture(scope="module")
def policies(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    return {tracks: write_policy(folder / tracks, tiny_checkpoint, tracks) for tracks in ("forecast", "none")}


class Noting:
    """Acts as another does, and keeps what it said."""

    def __init__(self, actor):
        self.actor, self.said = actor, []

    def begin(self, seed: int) -> None:
        self.actor.begin(seed)

    def act(self, step: int) -> np.ndarray:
        self.said.append(self.actor.act(step))
        return self.said[-1]


@pytest.mark.slow
def test_over_ros_and_in_process_an_episode_s_actions_are_the_same(policies, start_node, listener):
    actions, places = [], []
    node = listener.node
    node.create_subscription(
        Float32MultiArray, "simulator_node/action", lambda message: actions.append(list(message.data)), EVERYTHING
    )
    node.create_subscription(PoseStamped, "gripper_pose", places.append, EVERYTHING)
    simulator = {"suite": "libero_object", "task": TASK, "seed": SEED, "lockstep": True, "repeat_period": 2.0}
    start_node(SIMULATOR, simulator)
    start_node(NODE, forecast_parameters(str(policies["forecast"])) | {"camera_timeout": 600.0})
    start_node(TRACK_POLICY, {"policy": policies["forecast"], "lockstep": True})
    listener.wait_for(lambda: len(actions) > STEPS, f"more than {STEPS} actions")

    configure_mujoco()
    # They import mujoco, which needs configure_mujoco() first.
    from trajforecast_model.evaluation.rollouts.actors import PolicyActor
    from trajforecast_model.evaluation.rollouts.episode import roll_out
    from trajforecast_model.sim.scene.live_view import LiveView

    environment = TaskEnvironment(find_task("libero_object", TASK))
    actor = Noting(
        PolicyActor(Policy.from_pretrained(policies["forecast"]), environment, view := LiveView(environment))
    )
    outcome = roll_out(environment, actor, SEED, STEPS)
    ends_at = view.gripper_pose().position
    view.close()
    environment.close()
    assert outcome.steps == STEPS and np.std(actor.said, axis=0)[:6].min() > 0
    np.testing.assert_array_equal(actions[:STEPS], actor.said)
    # The hand came to the same place, to the last bit.
    assert tuple(ends_at) in {(place.x, place.y, place.z) for place in (pose.pose.position for pose in places)}


class Body:
    """Cameras, joints and words, at moments that a test chooses."""

    def __init__(self, listener, with_actions: bool = True):
        node = listener.node
        self.cameras = {
            view: node.create_publisher(Image, f"{view}/image_raw", EVERY_IMAGE) for view in ("side", "effector")
        }
        self.joints = node.create_publisher(JointState, "joint_states", EVERY_IMAGE)
        self.words = node.create_publisher(String, "forecast_node/instruction", LATCHED)
        self.words.publish(String(data=WORDS))
        self.summaries = node.create_publisher(TrackSummary, "predicted_tracks/summary", RESULT)
        self.actions = []
        if with_actions:
            self.listen(listener)
        listener.wait_for(self._heard, "the policy")

    def listen(self, listener) -> None:
        listener.node.create_subscription(
            Float32MultiArray,
            "simulator_node/action",
            lambda message: self.actions.append(list(message.data)),
            EVERYTHING,
        )

    def _heard(self) -> bool:
        return all(said.get_subscription_count() for said in (*self.cameras.values(), self.joints, self.words))

    def feel_and_see(self, step: int, views=("side", "effector"), angle: float = 0.1, encoding: str = "rgb8") -> None:
        stamp = header(step)
        self.joints.publish(JointState(header=stamp, name=list(LIBERO_JOINTS), position=[angle] * 9))
        for number, view in enumerate(views):
            picture = np.random.default_rng(number).integers(0, 256, (128, 128, 3), dtype=np.uint8)
            message = to_message(picture, stamp)
            message.encoding = encoding
            self.cameras[view].publish(message)


def header(step: int) -> Header:
    seconds, rest = divmod(step * STEP_MS, 1000)
    return Header(stamp=Time(sec=seconds, nanosec=rest * 1_000_000), frame_id="camera")


@pytest.mark.slow
def test_what_it_lacks_is_said_once_and_the_arm_stays(policies, start_node, listener):
    node = start_node(TRACK_POLICY, {"policy": policies["none"], "silence": 1.0})
    body = Body(listener, with_actions=False)

    def until(said: str, **moment) -> None:
        def again() -> bool:
            until.step += 1
            body.feel_and_see(until.step, **moment)
            return node.said(said)

        listener.wait_for(again, said)

    until.step = 100
    until("nobody listens to /simulator_node/action")
    body.listen(listener)
    until("joint_states has values that are not finite", angle=float("nan"))
    listener.wait_for(lambda: body.actions and not any(body.actions[-1][:6]), "the arm told to stay")
    until("the image of side cannot be used: encoding '16UC1'", encoding="16UC1")
    until.step += 100
    until("effector fell silent", views=("side",))
    count = len(body.actions)

    def acts_again() -> bool:
        until.step += 1
        body.feel_and_see(until.step)
        return len(body.actions) > count and any(body.actions[-1][:6])

    listener.wait_for(acts_again, "an action when all is there again")
    for complaint in ("nobody listens", "not finite", "'16UC1'", "effector fell silent"):
        assert node.output.count(complaint) == 1, node.output
    assert node.stop() == 0, node.output


@pytest.mark.slow
def test_forecasts_of_another_model_and_old_ones_are_refused(policies, tiny_checkpoint, start_node, listener):
    node = start_node(TRACK_POLICY, {"policy": policies["forecast"], "silence": 1.0})
    body = Body(listener)
    listener.wait_for(body.summaries.get_subscription_count, "the policy")

    def hear(model: str, step: int) -> None:
        message = everything_moves(header(step), (0.1, 0.0), 128)
        message.model_id = model
        body.summaries.publish(message)

    def refused(model: str, said: str) -> None:
        def again() -> bool:
            refused.step += 1
            body.feel_and_see(refused.step)
            hear(model, refused.step - 20)
            return node.said(said)

        listener.wait_for(again, said)

    refused.step = 100
    refused("another", "left out forecasts of 'another'")
    refused(tiny_checkpoint.name, "more than 0.5 s older than the newest")
    for _ in range(5):  # older still, and no word more
        refused.step += 7
        body.feel_and_see(refused.step)
        hear(tiny_checkpoint.name, refused.step - 30)
    refused("a third", "left out forecasts of 'a third'")
    assert node.output.count("older than the newest") == node.output.count("'another'") == 1, node.output
    assert not any(any(action[:6]) for action in body.actions)


def unreadable(message: TrackSummary) -> None:
    message.num_steps += 1


def of_another_grid(message: TrackSummary) -> None:
    """Whose 30 x 32 points do not divide into 8 x 8 cells."""
    message.grid_height = 30
    for name, channels in (("min", 2), ("mean_t", 2), ("spread", 1)):
        numbers = np.array(getattr(message, name), np.float32).reshape(2, 16, 32, 32, channels)[:, :, :30]
        setattr(message, name, numbers.ravel().tolist())


def short(message: TrackSummary) -> None:
    """Of 12 steps."""
    message.num_steps = 12
    for name, channels in (("min", 2), ("mean_t", 2), ("spread", 1)):
        numbers = np.array(getattr(message, name), np.float32).reshape(2, 16, 32, 32, channels)[:, :12]
        setattr(message, name, numbers.ravel().tolist())


def not_finite(message: TrackSummary) -> None:
    message.min[7] = float("nan")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (unreadable, "left out a forecast that cannot be read"),
        (of_another_grid, "do not divide the forecast's grid of [30, 32] points"),
        (short, "the forecast's last step is 11"),
        (not_finite, "tracks have values that are not finite numbers"),
    ],
)
def test_a_forecast_of_another_geometry_moves_nothing_until_one_fits(
    policies, tiny_checkpoint, start_node, listener, spoil, complaint
):
    node = start_node(TRACK_POLICY, {"policy": policies["forecast"], "silence": 1.0})
    body = Body(listener)
    listener.wait_for(body.summaries.get_subscription_count, "the policy")
    step = 100

    def forecast_until(condition, spoiled: bool) -> None:
        def again() -> bool:
            nonlocal step
            step += 1
            body.feel_and_see(step)
            message = everything_moves(header(step), (0.1, 0.0), 128, views=("side", "effector"))
            message.model_id = tiny_checkpoint.name
            if spoiled:
                spoil(message)
            body.summaries.publish(message)
            return condition()

        listener.wait_for(again, complaint)

    forecast_until(lambda: node.said(complaint), spoiled=True)
    forecast_until(lambda: node.said("no action for 1 s"), spoiled=True)
    assert not any(any(action[:6]) for action in body.actions)
    forecast_until(lambda: any(any(action[:6]) for action in body.actions), spoiled=False)
    assert node.output.count(complaint) == 1, node.output
    assert node.stop() == 0, node.output


@pytest.mark.slow
def test_a_policy_beside_another_forecaster_than_its_own_does_not_start(policies, start_node):
    node = start_node(TRACK_POLICY, {"policy": policies["none"], "forecaster": "libero_object_tiny"})
    assert node.exit_code() == 2
    assert "the policy was trained with the forecaster" in node.output and "Traceback" not in node.output


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({}, "parameter policy is empty"),
        ({"policy": "nowhere"}, "does not exist"),
        ({"policy": "libero_object_tiny"}, "is not a policy"),
        ({"policy": "x", "joint_names": "[a, b]"}, "joint_names has 2 names"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(start_node, parameters, complaint):
    node = start_node(TRACK_POLICY, parameters)

    assert node.exit_code() == 2
    assert complaint in node.output and "Traceback" not in node.output

"""simulator_node as a process of its own: LIBERO in MuJoCo, talked to over DDS."""

import importlib.util

import numpy as np
import pytest
from robot import LATCHED
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from simulated_robot import LOCKSTEP, SIMULATOR, Simulation
from std_msgs.msg import Bool, Float32MultiArray, String
from std_srvs.srv import Trigger

from trajforecast_model.image_messages.depth import to_metres
from trajforecast_model.sim import mujoco_setup
from trajforecast_ros.images import to_rgb
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.policy.calibration import Calibration
from trajforecast_ros.policy.simulator_node import SimulatorNode
from trajforecast_ros.qos import EVERYTHING

PERIOD = 50_000_000  # nanoseconds
STAY = [0.0] * 6 + [-1.0]


@pytest.fixture(scope="module")
def simulator(start_module_node):
    return start_module_node(SIMULATOR, LOCKSTEP | {"depth": True})


@pytest.fixture
def simulation(listener, simulator) -> Simulation:
    simulation = Simulation(listener)
    simulation.wait_until_there(simulator)
    return simulation


@pytest.mark.slow
def test_what_it_shows(simulation, listener):
    instructions, successes, depths, depth_infos = [], [], [], []
    listener.node.create_subscription(Image, "side/depth/image_raw", depths.append, EVERYTHING)
    listener.node.create_subscription(CameraInfo, "side/depth/camera_info", depth_infos.append, LATCHED)
    listener.node.create_subscription(String, "forecast_node/instruction", instructions.append, LATCHED)
    listener.node.create_subscription(Bool, "simulator_node/success", successes.append, LATCHED)
    said = (instructions, successes, simulation.infos, depths, depth_infos)
    listener.wait_for(lambda: all(said), "what is said once, and depth")

    assert instructions[0].data == "pick up the alphabet soup and place it in the basket"
    assert not successes[0].data
    for view, messages in simulation.images.items():
        assert to_rgb(messages[-1]).shape == (64, 64, 3)
        assert to_rgb(messages[-1]).std() > 10
        assert messages[-1].header.frame_id == f"{view}_camera_optical_frame"
    assert simulation.infos[-1].header.frame_id == "side_camera_optical_frame"
    camera = Calibration.from_messages(simulation.infos[-1], simulation.camera_poses[-1])
    pixel, depth = camera.project(simulation.position())
    assert (pixel > 10).all() and (pixel < 54).all() and 0.5 < depth < 2
    # The hand is over the point between the fingertips, the floor behind it.
    metres, (x, y) = to_metres(depths[-1]), pixel.astype(int)
    assert (
        metres.shape == (64, 64)
        and abs(metres[y - 4 : y + 1, x - 2 : x + 3].min() - depth) < 0.1 < metres.max() - depth
    )
    assert depth_infos[-1].k.tolist() == simulation.infos[-1].k.tolist()
    assert depths[-1].header.frame_id == "side_camera_optical_frame"


@pytest.mark.slow
def test_in_lockstep_an_action_is_a_step(simulation):
    simulation.act(STAY)
    start, before = simulation.stamp(), simulation.position()
    for _ in range(6):
        simulation.act([0.0, 0.5, 0.0, 0.0, 0.0, 0.0, -1.0])

    assert simulation.stamp() == start + 6 * PERIOD
    moved = simulation.position() - before
    assert moved[1] > 0.015
    assert np.abs(moved[[0, 2]]).max() < 0.005
    # The images are of the same moments, and nobody else's: without an action they only come again.
    simulation.listener.wait_for(
        lambda: (
            [nanoseconds(messages[-1].header) for messages in simulation.images.values()] == [start + 6 * PERIOD] * 2
        ),
        "the images of the last step",
    )
    seen = len(simulation.images["side"])
    simulation.listener.wait_for(lambda: len(simulation.images["side"]) > seen, "the same image again")
    assert nanoseconds(simulation.images["side"][-1].header) == start + 6 * PERIOD
    np.testing.assert_array_equal(to_rgb(simulation.images["side"][-1]), to_rgb(simulation.images["side"][seen - 1]))


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[0.0] * 6, [float("nan")] * 7])
def test_a_wrong_action_is_refused(simulation, simulator, numbers):
    before = simulation.stamp()
    simulation.actions.publish(Float32MultiArray(data=numbers))
    simulation.listener.wait_for(lambda: simulator.said(f"refused an action of {len(numbers)} numbers"), "the refusal")
    simulation.act(STAY)

    assert simulation.stamp() == before + PERIOD


@pytest.mark.slow
def test_reset_starts_the_next_episode_and_time_goes_on(simulation, listener):
    for _ in range(5):
        simulation.act([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0])
    raised, before = simulation.position(), simulation.stamp()
    answer = listener.call(listener.node.create_client(Trigger, "simulator_node/reset"), Trigger.Request())
    listener.wait_for(lambda: simulation.stamp() > before, "the new episode")

    assert answer.success and "seed 1" in answer.message
    assert simulation.position()[2] < raised[2] - 0.01
    assert simulation.stamp() == before + PERIOD


@pytest.mark.slow
def test_without_lockstep_the_world_goes_on_by_itself(start_node, listener):
    clocks = []
    listener.node.create_subscription(Clock, "/clock", clocks.append, 10)
    node = start_node(SIMULATOR, {"image_size": 32, "publish_clock": True}, {"gripper_pose": "other/gripper_pose"})
    listener.wait_for(lambda: len(clocks) > 20 or not node.said(""), "time going on")

    stamps = [clock.clock.sec * 1_000_000_000 + clock.clock.nanosec for clock in clocks]
    assert set(np.diff(stamps)) == {PERIOD}
    assert node.stop() == 0, node.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"suite": "libero_nothing"}, "libero_spatial"),
        ({"task": 99}, "tasks 0 to 9"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(start_node, parameters, complaint):
    node = start_node(SIMULATOR, parameters)

    assert node.exit_code() == 2
    assert complaint in node.output and "Traceback" not in node.output


def test_without_the_simulator_it_says_what_to_install(ros, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        mujoco_setup.importlib.util, "find_spec", lambda name: None if name == "libero" else found(name)
    )

    with pytest.raises(ValueError, match=r"libero; install it: pip install -e '.\[sim\]'"):
        SimulatorNode()

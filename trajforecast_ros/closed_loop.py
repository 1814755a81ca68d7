"""Measures the closed loop: does the arm go where the forecast says that the gripper goes?

    python -m trajforecast_ros.closed_loop --task 3 --steps 40

With a trained policy: does it solve the task?

    python -m trajforecast_ros.closed_loop --policy DIR --task 3 --seed 100000 [--real-time]

Simulator, in lockstep unless real time is asked for, forecast node and policy run as processes of their own; this one listens. Of each forecast it
takes the motion of the gripper in the side view over the next steps, as the policy does, and compares it with how the
gripper then really moved in that image. Beside it stands the same for an arm that does nothing.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.sim.environment import CONTROL_HZ
from trajforecast_ros.domains import reserve_domain
from trajforecast_ros.processes import NodeFailed, Nodes
from trajforecast_ros.resources import dds_settings

START_SECONDS = 300  # on a busy machine
STEP_SECONDS = 300  # that a step of the world may take on a busy machine
STILL = 0.25  # pixels: a shorter motion has no direction


@dataclass(frozen=True)
class Motions:
    """Of the gripper in the side image over the policy's lookahead, one a forecast, pixels [N, 2] each."""

    forecast: np.ndarray
    followed: np.ndarray


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trajforecast_ros.closed_loop", description=__doc__.splitlines()[0])
    parser.add_argument("--policy", help="folder of `trajforecast train policy`; its forecaster goes with it")
    parser.add_argument("--checkpoint", help="shipped name, folder or cached hub id (default: libero_object_tiny)")
    parser.add_argument("--suite", default="libero_object")
    parser.add_argument("--task", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the scene")
    parser.add_argument("--steps", type=int, help="control steps, 20 a second (default: 40; with --policy at most 300)")
    parser.add_argument("--samples", type=int, help="k, futures sampled in a forecast (default: 8)")
    parser.add_argument(
        "--real-time", action="store_true", help="with --policy: the world goes on at 20 Hz and waits for nobody"
    )
    parser.add_argument("--latency-budget", type=float, help="with --policy: seconds that a forecast may take")
    parser.add_argument("--lookahead", type=int, default=4, help="steps of the forecast that count")
    args = parser.parse_args(arguments)
    if args.policy is not None and (args.checkpoint or args.samples):
        parser.error("--checkpoint and --samples: the policy brings its own; leave them out")
    if args.policy is None and (args.real_time or args.latency_budget is not None):
        parser.error("--real-time and --latency-budget: they are of a trained policy; give --policy")
    args.steps = args.steps or (40 if args.policy is None else 300)
    args.checkpoint, args.samples = args.checkpoint or "libero_object_tiny", args.samples or 8
    if args.policy is None and args.steps <= args.lookahead:
        parser.error(f"--steps {args.steps}: expected more than the lookahead, {args.lookahead}")
    try:
        if args.policy is not None:
            print(_solved_line(args), flush=True)
            return 0
        for policy, gain in (("follows the medoid", 1.0), ("does nothing", 0.0)):
            print(summary_line(policy, _measure(args, gain)), flush=True)
    except (ValueError, OSError) as error:
        print(f"closed_loop: error: {error}", file=sys.stderr)
        return 2
    except NodeFailed as error:
        print(f"closed_loop: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def _simulated(args) -> Iterator[Nodes]:
    """The simulator in lockstep, in a domain of its own, to which other nodes are added."""
    domain = reserve_domain()
    os.environ.update(dds_settings(), ROS_DOMAIN_ID=str(domain), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    with tempfile.TemporaryDirectory(prefix="trajforecast_closed_loop_") as logs, Nodes(Path(logs), domain) as nodes:
        nodes.start(
            "simulator_node",
            {"suite": args.suite, "task": args.task, "seed": args.seed, "lockstep": not args.real_time},
        )
        yield nodes


def _solved_line(args) -> str:
    from trajforecast_ros.policy.forecast_parameters import forecast_parameters

    forecast = forecast_parameters(args.policy)
    with _simulated(args) as nodes:
        started = ["simulator_node", "track_policy_node"]
        if forecast:
            budget = {} if args.latency_budget is None else {"latency_budget": args.latency_budget}
            nodes.start("forecast_node", forecast | budget | {"camera_timeout": 10.0})
            started.append("forecast_node")
        nodes.start("track_policy_node", {"policy": args.policy, "lockstep": not args.real_time})
        steps, solved = _watch(nodes, started, args.steps, args.real_time)
    scene = f"{args.suite} task {args.task}, seed {args.seed}{', in real time' if args.real_time else ''}"
    return f"{scene}: solved after {steps} steps" if solved else f"{scene}: not solved in {steps} steps"


def _watch(nodes: Nodes, started: list[str], limit: int, real_time: bool) -> tuple[int, bool]:
    """Control steps until the simulator says that the task is solved, or the limit; and whether it is.

    In lockstep each action is a step. In real time the world's clock counts them, from the first action on.
    """
    # After the environment is set: rclpy reads it when it is imported.
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from rclpy.node import Node
    from std_msgs.msg import Bool, Float32MultiArray

    from trajforecast_ros.messages import nanoseconds
    from trajforecast_ros.qos import EVERYTHING

    rclpy.init()
    node, actions, solved, moments = Node("closed_loop"), [], [], []

    def on_moment(message: PoseStamped) -> None:
        if actions:
            moments.append(nanoseconds(message.header))

    def steps() -> int:
        if not real_time:
            return len(actions)
        return round((moments[-1] - moments[0]) / 1e9 * CONTROL_HZ) if moments else 0

    node.create_subscription(PoseStamped, "gripper_pose", on_moment, EVERYTHING)
    node.create_subscription(Float32MultiArray, "simulator_node/action", actions.append, EVERYTHING)
    node.create_subscription(Bool, "simulator_node/success", lambda said: said.data and solved.append(True), EVERYTHING)
    try:
        deadline = time.monotonic() + START_SECONDS
        with tqdm(total=limit, unit="step", disable=not sys.stderr.isatty()) as progress:
            while (seen := steps()) < limit and not solved:
                rclpy.spin_once(node, timeout_sec=0.1)
                if steps() > seen:
                    progress.update(steps() - seen)
                    deadline = time.monotonic() + STEP_SECONDS
                for name in started:
                    nodes.check_running(name)
                if time.monotonic() > deadline:
                    said = "\n".join(f"{name} said:\n{nodes.log_tail(name)}" for name in started)
                    raise NodeFailed(f"the loop stood still; {said}")
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return steps(), bool(solved)


def _measure(args, gain: float) -> Motions:
    with _simulated(args) as nodes:
        nodes.start(
            "forecast_node",
            {"checkpoint": args.checkpoint, "num_samples": args.samples, "camera_timeout": 10.0},
        )
        nodes.start("policy_node", {"lookahead": args.lookahead, "gain": gain})
        return _listen(nodes, args)


def _listen(nodes: Nodes, args) -> Motions:
    # After the environment is set: rclpy reads it when it is imported.
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo
    from trajforecast_msgs.msg import TrackSummary

    from trajforecast_model.policy.follower import RADIUS, SIDE
    from trajforecast_model.tracks.rigid.hand import ViewTracks, gripper_motion
    from trajforecast_ros.messages import nanoseconds, read_summary
    from trajforecast_ros.policy.calibration import Calibration
    from trajforecast_ros.qos import EVERYTHING, LATCHED

    rclpy.init()
    node = Node("closed_loop")
    calibration: dict[str, object] = {}
    grippers: dict[int, np.ndarray] = {}  # position by stamp, nanoseconds
    summaries: dict[int, TrackSummary] = {}
    node.create_subscription(CameraInfo, f"{SIDE}/camera_info", lambda m: calibration.update(info=m), LATCHED)
    node.create_subscription(PoseStamped, f"{SIDE}/camera_pose", lambda m: calibration.update(pose=m), LATCHED)

    def on_gripper(message: PoseStamped) -> None:
        position = message.pose.position
        grippers[nanoseconds(message.header)] = np.array([position.x, position.y, position.z])

    node.create_subscription(PoseStamped, "gripper_pose", on_gripper, EVERYTHING)
    node.create_subscription(
        TrackSummary, "predicted_tracks/summary", lambda m: summaries.setdefault(nanoseconds(m.header), m), EVERYTHING
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        with tqdm(total=args.steps, unit="step", disable=not sys.stderr.isatty()) as progress:
            while len(grippers) <= args.steps:
                seen = len(grippers)
                rclpy.spin_once(node, timeout_sec=0.1)
                if len(grippers) > seen:
                    progress.update(len(grippers) - seen)
                    deadline = time.monotonic() + (STEP_SECONDS if seen > 1 else START_SECONDS)
                for name in ("simulator_node", "forecast_node", "policy_node"):
                    nodes.check_running(name)
                if time.monotonic() > deadline:
                    raise NodeFailed(
                        f"the loop stood still; forecast_node said:\n{nodes.log_tail('forecast_node')}\n"
                        f"policy_node said:\n{nodes.log_tail('policy_node')}"
                    )
    finally:
        node.destroy_node()
        rclpy.try_shutdown()

    camera = Calibration.from_messages(calibration["info"], calibration["pose"])
    pixels = {stamp: camera.project(position)[0] for stamp, position in grippers.items()}
    forecast, followed = [], []
    for stamp, summary in sorted(summaries.items()):
        arrays = read_summary(summary)
        later = stamp + round(args.lookahead * arrays.dt * 1e9)
        if stamp in pixels and later in pixels and SIDE in arrays.views:
            index = arrays.view_index(SIDE)
            future = ViewTracks(arrays.min[index], arrays.image_sizes[index])
            forecast.append(gripper_motion(future, pixels[stamp], 0, args.lookahead, RADIUS))
            followed.append(pixels[later] - pixels[stamp])
    return Motions(np.array(forecast).reshape(-1, 2), np.array(followed).reshape(-1, 2))


def summary_line(policy: str, motions: Motions) -> str:
    """The figures of a policy: how far, which share of the forecast motion, in which direction."""
    forecast, followed = motions.forecast, motions.followed
    lengths, moved = np.linalg.norm(forecast, axis=1), np.linalg.norm(followed, axis=1)
    text = (
        f"{policy}: {len(forecast)} forecasts, gripper forecast to go {lengths.mean():.2f} px, went {moved.mean():.2f} px, "
        f"{(forecast * followed).sum() / (forecast**2).sum():.2f} of the forecast motion"
    )
    directed = (lengths > STILL) & (moved > STILL)
    if directed.sum() < 2:
        return f"{text}; it went nowhere, so no direction to compare"
    cosine = (forecast * followed).sum(axis=1)[directed] / (lengths * moved)[directed]
    x, y = (np.corrcoef(forecast[:, axis], followed[:, axis])[0, 1] for axis in (0, 1))
    return f"{text}; cosine {cosine.mean():.2f} over {directed.sum()}, correlation {x:.2f} in x, {y:.2f} in y"


if __name__ == "__main__":
    sys.exit(main())

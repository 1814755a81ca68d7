"""A closed loop: LIBERO in MuJoCo, the forecast node that watches it, and a policy that moves the arm.

ros2 launch trajforecast_ros policy.launch.py task:=3
ros2 launch trajforecast_ros policy.launch.py task:=3 policy:=runs/libero_object_policy

Without `policy` it is the example policy_node, which follows one motion; with it track_policy_node, which was trained.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Parameters of the two nodes that have an argument of their own: type, default and description.
SIMULATOR = {
    "suite": (str, "libero_object", "LIBERO suite"),
    "task": (int, "0", "Number of the task in its suite"),
    "seed": (int, "0", "Of the first scene; each reset takes the next"),
    "lockstep": (bool, "true", "Step only when an action comes; false runs at 20 Hz by the wall clock"),
    "publish_clock": (bool, "false", "Publish simulated time on /clock"),
    "depth": (bool, "false", "Publish depth of the side view, by which policy_node follows the whole hand"),
}
POLICY = {
    "lookahead": (int, "4", "Steps of the forecast whose motion counts"),
    "gain": (float, "1.0", "Of the motion; 0 leaves the arm where it is"),
}
TRACK_POLICY = {
    "policy": (str, "", "Folder of `trajforecast train policy`; its forecaster goes with it"),
    "lockstep": SIMULATOR["lockstep"],
}


def generate_launch_description() -> LaunchDescription:
    # forecast.launch.py brings its arguments (checkpoint, device, namespace, side_image ...), so this file takes them too.
    share = FindPackageShare("trajforecast_ros")
    forecast = PathJoinSubstitution([share, "launch", "forecast.launch.py"])
    arguments = [
        DeclareLaunchArgument(
            "params_file",
            default_value=PathJoinSubstitution([share, "config", "policy.yaml"]),
            description="YAML with the forecast node's parameters",
        ),
        *(
            DeclareLaunchArgument(
                name,
                default_value=default,
                description=f"({kind.__name__}) {description}",
                **({"choices": ["true", "false"]} if kind is bool else {}),
            )
            for name, (kind, default, description) in {**SIMULATOR, **POLICY, **TRACK_POLICY}.items()
        ),
    ]
    return LaunchDescription(
        [
            *arguments,
            OpaqueFunction(function=_as_the_policy_needs),  # before the forecast node's arguments get their defaults
            IncludeLaunchDescription(forecast),
            _node("simulator_node", SIMULATOR),
            OpaqueFunction(function=_policy),
        ]
    )


def _as_the_policy_needs(context: LaunchContext) -> None:
    """The forecaster that a trained policy knows, asked as in training."""
    if policy := context.launch_configurations["policy"]:
        from trajforecast_ros.policy.forecast_parameters import forecast_parameters

        for name, value in forecast_parameters(policy).items():
            context.launch_configurations.setdefault(name, str(value))


def _policy(context: LaunchContext) -> list[Node]:
    if context.launch_configurations["policy"]:
        return [_node("track_policy_node", TRACK_POLICY)]
    return [_node("policy_node", POLICY)]


def _node(name: str, parameters: dict) -> Node:
    return Node(
        package="trajforecast_ros",
        executable=name,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        remappings=[
            ("side/image_raw", LaunchConfiguration("side_image")),
            ("effector/image_raw", LaunchConfiguration("effector_image")),
        ],
        parameters=[
            {key: ParameterValue(LaunchConfiguration(key), value_type=kind) for key, (kind, _, _) in parameters.items()}
        ],
    )

"""The forecast node, with its cameras and model named on the command line.

ros2 launch trajforecast_ros forecast.launch.py instruction:="open the drawer" side_image:=/front/image_raw
"""

import difflib

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("trajforecast_ros"), "config"])

# Parameters of the node that have an argument of their own: type and description. Left empty they are the file's.
PARAMETERS = {
    "checkpoint": (str, "A shipped checkpoint's name, a checkpoint folder, or a cached hub id"),
    "device": (str, "Where the networks run: cpu, cuda, cuda:1"),
    "dtype": (str, "Number format of the networks: float32 or bfloat16"),
    "compile": (bool, "Whether torch.compile makes them faster, which takes a minute or more at the start"),
    "instruction": (str, "What the robot is to do; without one the node waits for ~/instruction"),
    "num_samples": (int, "k: futures sampled in a forecast, 1 to 64"),
    "solver_steps": (int, "Network evaluations a forecast; 0 takes the checkpoint's number"),
    "output_stride": (int, "Every how many points of the grid one is published"),
    "score": (bool, "Whether forecasts are compared with what then happened"),
    "latency_budget": (float, "Seconds from an image's arrival to its forecast; 0 is no limit"),
    "max_rate": (float, "Most forecasts a second; 0 forecasts as fast as it can"),
    "image_transport": (str, "raw, compressed or ffmpeg; for each camera as side:raw,effector:compressed"),
    "image_fit": (str, "stretch, or crop for images of another aspect than the model's"),
    "autostart": (bool, "Whether the node configures and activates itself; false leaves that to a lifecycle manager"),
    "use_sim_time": (bool, "Take the time from /clock"),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(
            "params_file",
            default_value=PathJoinSubstitution([CONFIG, "forecast.yaml"]),
            description="YAML with the node's parameters; the arguments below win over it",
        ),
        *(
            DeclareLaunchArgument(name, default_value="", description=f"({kind.__name__}) {description}")
            for name, (kind, description) in PARAMETERS.items()
        ),
        DeclareLaunchArgument("side_image", default_value="side/image_raw", description="Image topic, side view"),
        DeclareLaunchArgument(
            "effector_image", default_value="effector/image_raw", description="Image topic, camera on the hand"
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics"),
    ]
    # Images and tracks are larger than Fast DDS lets through by default. Kilted and Lyrical read the first variable,
    # Jazzy the second. The cameras' processes need the same.
    profile = PathJoinSubstitution([CONFIG, "fastdds.xml"])
    return LaunchDescription(
        [
            *arguments,
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", profile),
            SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profile),
            OpaqueFunction(function=_misspelt, args=[[argument.name for argument in arguments]]),
            OpaqueFunction(function=_forecast_node),
        ]
    )


def _misspelt(context: LaunchContext, known: list[str]) -> list[LogInfo]:
    """A line for each argument that is nearly one of ours: launch takes what it does not know without a word, and files
    that include this one may have others of their own."""
    notes = []
    for name in context.launch_configurations:
        nearest = [] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        notes += [LogInfo(msg=f"nobody reads the argument {name}; did you mean {hint}?") for hint in nearest]
    return notes


def _forecast_node(context: LaunchContext) -> list[LifecycleNode]:
    value = {name: LaunchConfiguration(name) for name in context.launch_configurations}
    chosen = {
        name: ParameterValue(value[name], value_type=kind)
        for name, (kind, _) in PARAMETERS.items()
        if value[name].perform(context)
    }
    return [
        LifecycleNode(
            package="trajforecast_ros",
            executable="forecast_node",
            name="forecast_node",
            namespace=value["namespace"],
            output="screen",
            parameters=[value["params_file"], chosen],
            remappings=[
                ("side/image_raw", value["side_image"]),
                ("effector/image_raw", value["effector_image"]),
            ],
        )
    ]

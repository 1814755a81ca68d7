"""The shipped episode played onto the camera topics, again and again, and the forecast node that watches it.

ros2 launch trajforecast_ros demo.launch.py speed:=0.5 record:=/tmp/recording
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, NotEqualsSubstitution, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    # forecast.launch.py brings its arguments (checkpoint, device, namespace, side_image ...), so this file takes them too.
    forecast = PathJoinSubstitution([FindPackageShare("trajforecast_ros"), "launch", "forecast.launch.py"])
    names = {
        "namespace": LaunchConfiguration("namespace"),
        "remappings": [
            ("side/image_raw", LaunchConfiguration("side_image")),
            ("effector/image_raw", LaunchConfiguration("effector_image")),
        ],
    }
    return LaunchDescription(
        [
            DeclareLaunchArgument("episode", default_value="", description="Episode file; empty plays the shipped one"),
            DeclareLaunchArgument("speed", default_value="1.0", description="(float) 1.0 is real time"),
            DeclareLaunchArgument("loop", default_value="true", choices=["true", "false"], description="Play again"),
            DeclareLaunchArgument("record", default_value="", description="New folder for a bag; empty records not"),
            IncludeLaunchDescription(forecast),
            Node(
                package="trajforecast_ros",
                executable="replay_node",
                output="screen",
                **names,
                parameters=[
                    {
                        "episode": ParameterValue(LaunchConfiguration("episode"), value_type=str),
                        "speed": ParameterValue(LaunchConfiguration("speed"), value_type=float),
                        "loop": ParameterValue(LaunchConfiguration("loop"), value_type=bool),
                    }
                ],
            ),
            Node(
                package="trajforecast_ros",
                executable="record_node",
                output="screen",
                **names,
                condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("record"), "")),
                parameters=[{"output": ParameterValue(LaunchConfiguration("record"), value_type=str)}],
            ),
        ]
    )

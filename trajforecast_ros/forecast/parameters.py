"""The forecast node's parameters: names, defaults, ranges, what each means, and which need a reload.

config/forecast.yaml holds the same defaults for users to copy, docs/ros.md the same table; a test compares the three.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from trajforecast_ros.forecast.fitting import FITS
from trajforecast_ros.forecast.transports import message_and_qos, parse_transports
from trajforecast_ros.reduction import Reduction, parse_points
from trajforecast_ros.starting import parameters as starting
from trajforecast_ros.starting.parameters import meaning

MAX_SAMPLES = 64
MAX_SOLVER_STEPS = 1000


@dataclass(frozen=True)
class ForecastParameters:
    checkpoint: str = field(
        default="libero_object_tiny",
        metadata=meaning("A shipped checkpoint's name, a checkpoint folder, or a Hugging Face hub id", reload=True),
    )
    device: str = field(default="cpu", metadata=meaning("Where the networks run: cpu, cuda, cuda:1", reload=True))
    dtype: str = field(
        default="float32",
        metadata=meaning("Number format of the networks", choices=("float32", "bfloat16"), reload=True),
    )
    compile: bool = field(
        default=False,
        metadata=meaning(
            "Whether torch.compile makes the networks faster, which takes it a minute or more at configure", reload=True
        ),
    )
    views: list[str] = field(
        default_factory=lambda: ["side", "effector"],
        metadata=meaning("Cameras to forecast; each view's images come on <view>/image_raw", reload=True),
    )
    image_transport: str = field(
        default="raw",
        metadata=meaning(
            "raw takes the image topic, compressed its /compressed, ffmpeg its /ffmpeg (H.264, HEVC): one for all "
            "cameras, or one for each as side:raw,effector:compressed",
            reload=True,
        ),
    )
    autostart: bool = field(
        default=True, metadata=meaning("Whether the node configures and activates itself when it starts", reload=True)
    )
    history_frames: int = field(
        default=-1,
        metadata=meaning(
            "How many frames of the past forecasts are made from; -1 takes as many as the checkpoint does, 0 none",
            low=-1,
            high=1000,
            reload=True,
        ),
    )
    instruction: str = field(
        default="", metadata=meaning("What the robot is to do; the newest of this and ~/instruction counts")
    )
    num_samples: int = field(default=8, metadata=meaning("k: futures sampled in a forecast", low=1, high=MAX_SAMPLES))
    solver_steps: int = field(
        default=0,
        metadata=meaning(
            "Network evaluations a forecast; 0 takes the checkpoint's own number", low=0, high=MAX_SOLVER_STEPS
        ),
    )
    seed: int = field(
        default=0,
        metadata=meaning("Random seed of every forecast; -1 draws a new one each time", low=-1, high=2**31 - 1),
    )
    max_rate: float = field(
        default=0.0, metadata=meaning("Most forecasts a second; 0 forecasts as fast as it can", low=0.0, high=1000.0)
    )
    latency_budget: float = field(
        default=0.0,
        metadata=meaning(
            "Seconds from an image's arrival to its forecast; num_samples and solver_steps are then the most that is "
            "made. 0 is no limit",
            low=0.0,
            high=60.0,
        ),
    )
    max_pair_skew: float = field(
        default=0.05, metadata=meaning("Seconds that the stamps of a pair of images may lie apart", low=0.0, high=10.0)
    )
    pair_history: float = field(
        default=0.5,
        metadata=meaning(
            "Seconds that an image waits for those of the other cameras, for a camera whose images come later",
            low=0.0,
            high=10.0,
        ),
    )
    max_image_age: float = field(
        default=0.0,
        metadata=meaning("Seconds that an image's stamp may lie in the past; 0 takes any age", low=0.0, high=3600.0),
    )
    camera_timeout: float = field(
        default=1.0,
        metadata=meaning(
            "Seconds of silence after which a camera counts as missing and the other goes on alone",
            low=0.05,
            high=600.0,
        ),
    )
    history_budget_ms: float = field(
        default=10.0,
        metadata=meaning(
            "Milliseconds of a core's time that following the points of one image may take at the median, for a checkpoint that takes a "
            "past; where it takes longer fewer points are followed. 0 is no limit",
            low=0.0,
            high=1000.0,
        ),
    )
    image_fit: str = field(
        default="stretch",
        metadata=meaning(
            "stretch shows the networks the whole picture squeezed to their aspect, crop its undistorted middle",
            choices=FITS,
        ),
    )
    output_stride: int = field(
        default=1, metadata=meaning("Every how many rows and columns of the grid one is published", low=1, high=1024)
    )
    max_published_samples: int = field(
        default=0,
        metadata=meaning(
            "How many of the samples are published; 0 is all. The summary is of all", low=0, high=MAX_SAMPLES
        ),
    )
    query_points: str = field(
        default="",
        metadata=meaning(
            "Points to publish instead of the grid, as 0.5,0.5 0.25,0.75: x,y from the image's top-left corner to 1,1"
        ),
    )
    score: bool = field(
        default=False,
        metadata=meaning(
            "Whether to follow the observed motion and publish predicted_tracks/score when a horizon has passed",
        ),
    )
    enabled: bool = field(default=True, metadata=meaning("Whether to forecast; ~/enable changes it too"))
    bond_heartbeat_period: float = field(
        default=0.1,
        metadata=meaning(
            "Seconds between heartbeats of the bond with nav2's lifecycle manager, where bondpy is installed; 0 makes no "
            "bond. Counts from the next activation",
            low=0.0,
            high=60.0,
        ),
    )

    def transports(self) -> dict[str, str]:
        """How each view's images come. Raises ValueError for what there is not, or not on this machine."""
        transports = parse_transports(self.image_transport, self.views)
        for transport in set(transports.values()):
            message_and_qos(transport)
        return transports

    def reduction(self) -> Reduction:
        """What is published of a forecast. Raises ValueError for query points that are none."""
        return Reduction(self.output_stride, self.max_published_samples, parse_points(self.query_points))


def declare(node: Node) -> ForecastParameters:
    """Declares every parameter on the node and reads it.

    Raises:
        ValueError: for a wrong type, a number out of range, and what `check` refuses.
    """
    parameters = starting.declare(node, ForecastParameters)
    check(parameters)
    return parameters


def check(parameters: ForecastParameters) -> None:
    """Raises ValueError for what the descriptors' types and ranges do not catch."""
    starting.check_choices(parameters)
    views = parameters.views
    if not views or len(set(views)) < len(views) or "" in views:
        raise ValueError(f"parameter views is {views}; name one or more different cameras")
    for view in views:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", view):
            raise ValueError(
                f"parameter views: {view!r} cannot be part of a topic's name; a view is letters, digits and underscores, "
                "and its first character is no digit"
            )
    for name, read in (("image_transport", parameters.transports), ("query_points", parameters.reduction)):
        try:
            read()
        except ValueError as error:
            raise ValueError(f"parameter {name}: {error}") from error


def follow_changes(
    node: Node,
    current: Callable[[], ForecastParameters],
    check: Callable[[ForecastParameters], None],
    apply: Callable[[ForecastParameters], None],
) -> None:
    """Refuses later changes of parameters for which `check` raises ValueError, with the reason, and applies the others."""

    def changed(given: list[Parameter]) -> ForecastParameters:
        known = asdict(current())
        return replace(current(), **{p.name: starting.plain(p.value) for p in given if p.name in known})

    def validate(given: list[Parameter]) -> SetParametersResult:
        try:
            check(changed(given))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    starting.take_whole_numbers_where_any_will_do(node, ForecastParameters)
    node.add_on_set_parameters_callback(validate)
    node.add_post_set_parameters_callback(lambda given: apply(changed(given)))


def set_read_only(node: Node, read_only: bool) -> None:
    """Locks what needs a reload while a model is loaded, and unlocks it when it is not."""
    for item in fields(ForecastParameters):
        if item.metadata["reload"]:
            # The descriptor that the node itself uses; rclpy's set_descriptor never unlocks.
            node.describe_parameter(item.name).read_only = read_only

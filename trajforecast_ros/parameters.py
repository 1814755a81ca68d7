"""The forecast node's parameters: names, defaults, ranges and what each means.

config/forecast.yaml holds the same defaults for users to copy; a test compares the two.
"""

from dataclasses import MISSING, Field, dataclass, field, fields

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

MAX_SAMPLES = 64
MAX_SOLVER_STEPS = 1000


def _meaning(description: str, choices: tuple[str, ...] = (), low: float | None = None, high: float | None = None):
    return {"description": description, "choices": choices, "low": low, "high": high}


@dataclass(frozen=True)
class ForecastParameters:
    checkpoint: str = field(
        default="libero_object_tiny",
        metadata=_meaning("A shipped checkpoint's name, a checkpoint folder, or a Hugging Face hub id"),
    )
    device: str = field(default="cpu", metadata=_meaning("Where the networks run: cpu, cuda, cuda:1"))
    dtype: str = field(
        default="float32", metadata=_meaning("Number format of the networks", choices=("float32", "bfloat16"))
    )
    views: list[str] = field(
        default_factory=lambda: ["side", "effector"],
        metadata=_meaning("Cameras to forecast; each view's images come on <view>/image_raw"),
    )
    image_transport: str = field(
        default="raw",
        metadata=_meaning("raw takes the image topic, compressed its /compressed", choices=("raw", "compressed")),
    )
    instruction: str = field(default="", metadata=_meaning("What the robot is to do, until ~/instruction says so"))
    num_samples: int = field(default=8, metadata=_meaning("k: futures sampled in a forecast", low=1, high=MAX_SAMPLES))
    solver_steps: int = field(
        default=0,
        metadata=_meaning(
            "Network evaluations a forecast; 0 takes the checkpoint's own number", low=0, high=MAX_SOLVER_STEPS
        ),
    )
    seed: int = field(
        default=0,
        metadata=_meaning("Random seed of every forecast; -1 draws a new one each time", low=-1, high=2**31 - 1),
    )
    max_rate: float = field(
        default=0.0,
        metadata=_meaning("Most forecasts a second; 0 forecasts as fast as it can", low=0.0, high=1000.0),
    )
    max_pair_skew: float = field(
        default=0.05, metadata=_meaning("Seconds that the stamps of a pair of images may lie apart", low=0.0, high=10.0)
    )
    camera_timeout: float = field(
        default=1.0,
        metadata=_meaning(
            "Seconds of silence after which a camera counts as missing and the other goes on alone",
            low=0.05,
            high=600.0,
        ),
    )
    enabled: bool = field(default=True, metadata=_meaning("Whether to forecast from the start; ~/enable changes it"))


def declare(node: Node) -> ForecastParameters:
    """Declares every parameter on the node and reads it.

    Raises:
        ValueError: for a wrong type, a number out of range, a value that is not one of the choices, and for views that
            are empty or repeated.
    """
    values = {}
    for item in fields(ForecastParameters):
        default = item.default if item.default_factory is MISSING else item.default_factory()
        try:
            values[item.name] = node.declare_parameter(item.name, default, _descriptor(item)).value
        except ParameterException as error:
            raise ValueError(f"parameter {item.name} ({item.metadata['description']}): {error}") from error
        choices = item.metadata["choices"]
        if choices and values[item.name] not in choices:
            raise ValueError(f"parameter {item.name} is {values[item.name]!r}; choose one of {', '.join(choices)}")
    values["views"] = list(values["views"])
    if not values["views"] or len(set(values["views"])) < len(values["views"]) or "" in values["views"]:
        raise ValueError(f"parameter views is {values['views']}; name one or more different cameras")
    return ForecastParameters(**values)


def _descriptor(item: Field) -> ParameterDescriptor:
    low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
    descriptor = ParameterDescriptor(description=item.metadata["description"], read_only=True)
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(choices)}"
    if low is not None and isinstance(item.default, int):
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
    elif low is not None:
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    return descriptor

"""Names that ROS knows on a command line, and the one that was probably meant."""

import difflib
import re
from collections.abc import Iterable

PARAMETER = ("-p", "--param")
REMAP = ("-r", "--remap")
PARAMETER_FILE = "--params-file"
TAKING_A_VALUE = (
    *PARAMETER,
    *REMAP,
    PARAMETER_FILE,
    *("-e", "--enclave", "--log-level", "--log-config-file", "--log-file-name"),
)

# Parameters declared by rclpy itself, the last for every topic whose quality of service may be overridden.
ROS_WIDE = re.compile(r"use_sim_time|start_type_description_service|qos_overrides\..*")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, or None where none is like it."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None

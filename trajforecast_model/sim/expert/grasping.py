"""Where and how the gripper should take hold of an object, from the object's true shape.

The gripper comes straight down. It closes across the object's narrowest side, or on the rim of what is too wide for it.
"""

import dataclasses

import numpy as np

GRIPPER_OPENING = 0.075
FINGERTIP_CLEARANCE = 0.0165  # the fingertips end 19 mm below the grip site and must not press on the floor
_YAWS = np.deg2rad(np.arange(-90, 90, 5))


@dataclasses.dataclass(frozen=True)
class Grasp:
    """`position` of the grip site in the world [3], metres; `yaw` from the gripper's first pose, radians.

    `offset` [2] leads from the object's centre to the grasp, `height` from the object's lowest point.
    """

    position: np.ndarray
    yaw: float
    offset: np.ndarray
    height: float


def visible_points(model, data, root_body: str) -> np.ndarray:
    """Vertices [N, 3] in the world of everything that is drawn of a body and its children.

    Raises:
        ValueError: if the model has no such body or nothing of it is drawn.
    """
    import mujoco

    root = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, root_body)
    if root < 0:
        raise ValueError(f"the scene has no body {root_body!r}")
    family = {root}
    for body in range(model.nbody):
        if model.body_parentid[body] in family:
            family.add(body)
    parts = []
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] not in family or model.geom_group[geom] != 1:
            continue
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            local = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
            local = local[:: max(1, len(local) // 20000)]
        else:
            corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
            local = corners * model.geom_size[geom]
        parts.append(local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    if not parts:
        raise ValueError(f"nothing of body {root_body!r} is drawn, so it cannot be grasped")
    return np.concatenate(parts)


def find_grasp(
    points: np.ndarray,
    closing_axis: np.ndarray,
    obstacles: np.ndarray,
    rng: np.random.Generator,
    below_top: float = 0.03,
) -> Grasp:
    """Chooses a grasp from above.

    Args:
        points: the object's surface [N, 3] in the world.
        closing_axis: direction [2] on the ground along which the fingers close at yaw 0.
        obstacles: centres [M, 2] of the other things on the ground, which the fingers should not hit.
        rng: breaks ties between places on a rim.
        below_top: how deep below the object's top the fingers close, metres.
    """
    low, high = points.min(0), points.max(0)
    height = max(high[2] - below_top, low[2] + FINGERTIP_CLEARANCE)
    slab = points[np.abs(points[:, 2] - (height - 0.008)) < 0.02]
    yaw, width, middle = _narrowest(slab if len(slab) > 10 else points, closing_axis)
    centre = (low + high)[:2] / 2
    if width > GRIPPER_OPENING:
        rim = points[points[:, 2] > high[2] - 0.012]
        yaw, middle = _rim(rim, centre, closing_axis, obstacles, rng)
        height = max(high[2] - 0.018, low[2] + FINGERTIP_CLEARANCE)
    return Grasp(np.array([*middle, height]), yaw, middle - centre, height - low[2])


def _narrowest(points: np.ndarray, closing_axis: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The yaw at which the object is narrowest between the fingers, that width, and the middle [2] of it."""
    best = None
    for yaw in _YAWS:
        across = _turned(closing_axis, yaw)
        along = np.array([-across[1], across[0]])
        a, b = points[:, :2] @ across, points[:, :2] @ along
        width = np.ptp(a)
        cost = width + 0.01 * abs(yaw)
        if best is None or cost < best[0]:
            best = (cost, yaw, width, across * (a.max() + a.min()) / 2 + along * (b.max() + b.min()) / 2)
    return best[1:]


def _rim(rim: np.ndarray, centre, closing_axis, obstacles, rng) -> tuple[float, np.ndarray]:
    """A yaw and a point [2] on the rim where the fingers close across the wall and clear of the obstacles."""
    best = None
    for angle in np.deg2rad(np.arange(0, 360, 15)):
        outward = np.array([np.cos(angle), np.sin(angle)])
        relative = rim[:, :2] - centre
        near = np.abs(relative @ np.array([-outward[1], outward[0]])) < 0.012
        reach = (relative[near] @ outward).max(initial=0.0)
        if reach < 0.02:
            continue
        yaw = next((yaw for yaw in _YAWS if abs(_turned(closing_axis, yaw) @ outward) > 0.999), None)
        if yaw is None:
            continue
        point = centre + outward * (reach - 0.006)
        clearance = np.linalg.norm(obstacles - point, axis=1).min(initial=1.0)
        cost = abs(yaw) * 0.5 + rng.uniform(0, 0.3) + 8 * max(0.0, 0.12 - clearance)
        if best is None or cost < best[0]:
            best = (cost, yaw, point)
    if best is None:
        return 0.0, centre
    return best[1:]


def _turned(axis: np.ndarray, yaw: float) -> np.ndarray:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turned = np.array([cosine * axis[0] - sine * axis[1], sine * axis[0] + cosine * axis[1]])
    return turned / np.linalg.norm(turned)

"""Points on the surfaces of a scene's things, from the simulator's own shapes: what to take hold of, what to keep clear of."""

import mujoco
import numpy as np

_VISIBLE_GROUP, _COLLIDING_GROUP = 1, 0
_SPACING = 0.02  # metres between points on the obstacles
_OF_THE_ROBOT = ("robot", "gripper", "mount", "world", "table", "floor")


def family(model: mujoco.MjModel, root_body: str) -> set[int]:
    """The numbers of a body and of all that hang on it. Raises ValueError if the model has no such body."""
    root = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, root_body)
    if root < 0:
        raise ValueError(f"the scene has no body {root_body!r}")
    members = {root}
    for body in range(model.nbody):
        if model.body_parentid[body] in members:
            members.add(body)
    return members


def visible_points(model, data, root_body: str) -> np.ndarray:
    """Vertices [N, 3] in the world of everything that is drawn of a body and its children.

    Raises:
        ValueError: if the model has no such body or nothing of it is drawn.
    """
    parts = []
    for geom in _drawn(model, root_body):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            local = _vertices(model, geom)
            local = local[:: max(1, len(local) // 20000)]
        else:
            corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
            local = corners * model.geom_size[geom]
        parts.append(_in_world(data, geom, local))
    if not parts:
        raise ValueError(f"nothing of body {root_body!r} is drawn, so it cannot be grasped")
    return np.concatenate(parts)


def even_points(model, data, root_body: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """About `count` points [N, 3] in the world, drawn evenly from the drawn meshes' triangles of a body and its children."""
    triangles = []
    for geom in _drawn(model, root_body):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_faceadr[mesh]
            faces = model.mesh_face[first : first + model.mesh_facenum[mesh]]
            triangles.append(_in_world(data, geom, _vertices(model, geom)[faces].reshape(-1, 3)).reshape(-1, 3, 3))
    if not triangles:
        return visible_points(model, data, root_body)
    return on_triangles(np.concatenate(triangles), count, rng)


def on_triangles(triangles: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points [count, 3] spread over triangles [N, 3, 3] by their areas."""
    edges = triangles[:, 1:] - triangles[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    chosen = rng.choice(len(triangles), count, p=areas / areas.sum())
    shares = rng.uniform(size=(count, 2))
    shares[shares.sum(axis=1) > 1] = 1 - shares[shares.sum(axis=1) > 1]
    return triangles[chosen, 0] + np.einsum("ne,nec->nc", shares, edges[chosen])


def obstacle_points(model, data, without: str) -> np.ndarray:
    """Points [N, 3] on all that a hand can collide with but the robot, the table, and the body `without`."""
    left_out = family(model, without)
    parts = [np.zeros((0, 3))]
    for geom in range(model.ngeom):
        body = model.geom_bodyid[geom]
        if body in left_out or model.geom_group[geom] != _COLLIDING_GROUP:
            continue
        if model.body(body).name.startswith(_OF_THE_ROBOT):
            continue
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            local = _vertices(model, geom)
            local = local[:: max(1, len(local) // 100)]
        else:
            size = model.geom_size[geom]
            if model.geom_type[geom] in (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE):
                size = np.array([size[0], size[0], size[1]])
            local = on_box(np.where(size > 0, size, size[0]), _SPACING)
        parts.append(_in_world(data, geom, local))
    return np.concatenate(parts)


def on_box(half_sizes: np.ndarray, spacing: float) -> np.ndarray:
    """A grid of points [N, 3] on the sides of a box around the origin."""
    axes = [np.linspace(-half, half, max(2, int(np.ceil(2 * half / spacing)) + 1)) for half in half_sizes]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[(np.abs(np.abs(grid) - half_sizes) < 1e-9).any(axis=1)]


def _drawn(model, root_body: str) -> list[int]:
    """The shapes that are drawn of a body and its children."""
    members = family(model, root_body)
    shown = [geom for geom in range(model.ngeom) if model.geom_group[geom] == _VISIBLE_GROUP]
    return [geom for geom in shown if model.geom_bodyid[geom] in members]


def _vertices(model, geom: int) -> np.ndarray:
    mesh = model.geom_dataid[geom]
    first = model.mesh_vertadr[mesh]
    return model.mesh_vert[first : first + model.mesh_vertnum[mesh]]


def _in_world(data, geom: int, local: np.ndarray) -> np.ndarray:
    return local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]

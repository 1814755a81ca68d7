"""Fewer triangles and smaller textures for rendering on a CPU.

LIBERO's scanned objects have meshes and textures for close-ups; at 128 pixels most of their triangles are smaller than
a pixel. Clustering vertices on a grid (Rossignac and Borrel 1993) leaves images of 128 pixels the same to within a grey
level or so and is several times as fast.
"""

import mujoco
import numpy as np
from PIL import Image

MIN_FACES = 800
MIN_FACES_LEFT = 50


def thin_for_rendering(model: mujoco.MjModel, cell: float = 0.003, max_texture: int = 512) -> None:
    """Thins, in place, the meshes that are drawn but never collide, and shrinks large textures.

    Call it before the first renderer of the model is made: a renderer copies meshes and textures.

    Args:
        cell: edge of the clustering grid in metres; all vertices in a cell become one.
        max_texture: longest side of a texture in pixels.
    """
    drawn, colliding = _mesh_use(model)
    for mesh in range(model.nmesh):
        if mesh in colliding:
            continue
        if mesh not in drawn:
            # Loaded with an asset but used by nothing: it would still be sent to the renderer.
            model.mesh_facenum[mesh] = min(model.mesh_facenum[mesh], 4)
        elif model.mesh_facenum[mesh] >= MIN_FACES:
            _cluster_vertices(model, mesh, cell)
    for texture in range(model.ntex):
        _shrink_texture(model, texture, max_texture)


def _mesh_use(model: mujoco.MjModel) -> tuple[set[int], set[int]]:
    drawn, colliding = set(), set()
    for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH):
        collides = model.geom_contype[geom] or model.geom_conaffinity[geom]
        (colliding if collides else drawn).add(int(model.geom_dataid[geom]))
    return drawn, colliding


def _cluster_vertices(model: mujoco.MjModel, mesh: int, cell: float) -> None:
    first_face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    first_vertex, vertices = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    positions = model.mesh_vert[first_vertex : first_vertex + vertices]
    _, cluster = np.unique(np.floor(positions / cell).astype(np.int64), axis=0, return_inverse=True)
    cluster = cluster.ravel()
    size = np.bincount(cluster)
    centres = np.stack([np.bincount(cluster, positions[:, axis]) / size for axis in range(3)], axis=1)

    corners = cluster[model.mesh_face[first_face : first_face + faces]]  # [faces, 3]
    a, b, c = corners.T
    collapsed = (a == b) | (b == c) | (a == c)
    _, first_of_its_kind = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
    kept = np.zeros(faces, dtype=bool)
    kept[first_of_its_kind] = True
    kept = np.flatnonzero(kept & ~collapsed)
    if len(kept) < MIN_FACES_LEFT:
        return
    model.mesh_vert[first_vertex : first_vertex + vertices] = centres[cluster]
    for of_face in (model.mesh_face, model.mesh_facenormal, model.mesh_facetexcoord):
        of_face[first_face : first_face + len(kept)] = of_face[first_face + kept]
    model.mesh_facenum[mesh] = len(kept)


def _shrink_texture(model: mujoco.MjModel, texture: int, longest: int) -> None:
    width, height = int(model.tex_width[texture]), int(model.tex_height[texture])
    if model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D or max(width, height) <= longest:
        return
    channels, first = int(model.tex_nchannel[texture]), int(model.tex_adr[texture])
    scale = longest / max(width, height)
    new_width, new_height = max(1, int(width * scale)), max(1, int(height * scale))
    pixels = model.tex_data[first : first + width * height * channels].reshape(height, width, channels)
    small = np.stack(
        [Image.fromarray(pixels[..., c]).resize((new_width, new_height), Image.BOX) for c in range(channels)], axis=-1
    )
    model.tex_data[first : first + small.size] = small.reshape(-1)
    model.tex_width[texture], model.tex_height[texture] = new_width, new_height

"""Pictures, depth and body ids of a MuJoCo scene, off screen, by default through the two cameras of LIBERO.

Everything is upright: row 0 is the top of the image as seen. (The released LIBERO files are stored upside down.)
"""

import mujoco
import numpy as np

from trajforecast_model.sim.cameras import VIEW_CAMERAS

_COLLISION_GROUP = 0


class SceneRenderer:
    """Renders one model; the meshes are copied when it is made (see sim/scene/mesh_thinning.py).

    Args:
        image_size: (height, width) of images, depth and ids.
        supersampling: images are drawn this many times larger and averaged, which on a CPU is cheaper than the
            multisampling of OpenGL and looks the same.
        cameras: the model's camera of each view.
        shadows: draw those of lights that cast any; they cost a second pass.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        image_size: tuple[int, int] = (128, 128),
        supersampling: int = 2,
        cameras: dict[str, str] = VIEW_CAMERAS,
        shadows: bool = False,
    ):
        self._model = model
        self._size = image_size
        self._supersampling = supersampling
        height, width = image_size[0] * supersampling, image_size[1] * supersampling
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        # Depth and ids must not be mixed over the edge of an object.
        model.vis.quality.offsamples = 0
        if not shadows:
            model.vis.quality.shadowsize = 0
        self._gl = mujoco.gl_context.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[_COLLISION_GROUP] = 0
        self._options.sitegroup[:] = 0
        self._cameras = {view: _fixed_camera(model, name) for view, name in cameras.items()}

    def image(self, data: mujoco.MjData, view: str) -> np.ndarray:
        """RGB, uint8 [H, W, 3]."""
        (height, width), n = self._size, self._supersampling
        pixels = np.empty((height * n, width * n, 3), np.uint8)
        self._draw(data, view, segmentation=False, height=height * n, width=width * n)
        mujoco.mjr_readPixels(pixels, None, mujoco.MjrRect(0, 0, width * n, height * n), self._context)
        total = pixels.reshape(height, n, width, n, 3).sum((1, 3), dtype=np.uint16)
        return ((total + n * n // 2) // (n * n)).astype(np.uint8)[::-1].copy()

    def geometry(self, data: mujoco.MjData, view: str) -> tuple[np.ndarray, np.ndarray]:
        """What the centre of each pixel hits: depth along the optical axis in metres, float32 [H, W], and the body's
        id, int32 [H, W]; where nothing is hit the id is 0, the world."""
        height, width = self._size
        colours = np.empty((height, width, 3), np.uint8)
        depth = np.empty((height, width), np.float32)
        self._draw(data, view, segmentation=True, height=height, width=width)
        mujoco.mjr_readPixels(colours, depth, mujoco.MjrRect(0, 0, width, height), self._context)
        near = self._model.vis.map.znear * self._model.stat.extent
        far = self._model.vis.map.zfar * self._model.stat.extent
        metres = near * far / (near + depth.astype(np.float64) * (far - near))
        segments = colours.astype(np.int32) @ np.array([1, 256, 65536])
        return metres[::-1].astype(np.float32), self._body_of_segment()[segments][::-1].copy()

    def close(self) -> None:
        if self._gl is None:
            return
        # What is freed belongs to the current OpenGL context, which may be another renderer's.
        self._gl.make_current()
        self._context.free()
        self._gl.free()
        self._gl = None

    def __del__(self):
        # Left to MuJoCo, what is freed would be that of the renderer made last, which then draws noise.
        if getattr(self, "_gl", None) is not None:
            self.close()

    def _draw(self, data: mujoco.MjData, view: str, segmentation: bool, height: int, width: int) -> None:
        self._gl.make_current()
        scene = self._scene
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._cameras[view], mujoco.mjtCatBit.mjCAT_ALL, scene
        )
        scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = segmentation
        scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = segmentation
        mujoco.mjr_render(mujoco.MjrRect(0, 0, width, height), scene, self._context)

    def _body_of_segment(self) -> np.ndarray:
        """Body ids by the number that MuJoCo writes into the colours: 0 is the background."""
        bodies = np.zeros(self._scene.ngeom + 1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid != -1 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                bodies[geom.segid + 1] = self._model.geom_bodyid[geom.objid]
        return bodies


def _fixed_camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = _camera_named(model, name)
    return camera


def camera_id(model: mujoco.MjModel, view: str) -> int:
    """Of a LIBERO view. Raises ValueError if the model lacks its camera."""
    return _camera_named(model, VIEW_CAMERAS[view])


def _camera_named(model: mujoco.MjModel, name: str) -> int:
    camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)
    if camera < 0:
        raise ValueError(f"the scene has no camera {name!r}; is it a LIBERO scene?")
    return camera

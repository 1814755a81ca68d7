"""How a rigid thing moves, told from where some of its points are now and in which pixels they are then.

One camera is enough where the points' places are known: a turn, a shift, and nearness show in the pixels. Several cameras'
points count together. The motion is the one that the most central error prefers (least median of squares over trials of
three points each, Rousseeuw 1984), so up to almost half of the points may do something else; least squares of those that
agree with it make it exact.
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.tracks.rigid.pinhole import Pinhole

LEAST_POINTS = 6
_TRIALS = 64
_INLIERS = 2.5  # robust standard deviations
_ROUNDS = 7  # of Newton's method
_FLAT = 0.05  # a cloud of points this many times thinner than it is long, in both other directions, is a line
_EXACT = 1e-6  # pixels, which count as no error


@dataclass(frozen=True)
class RigidMotion:
    """A point x goes to rotation @ (x - centre) + centre + shift.

    rotation: [3, 3]; centre, shift: [3], metres in the world.
    """

    rotation: np.ndarray
    centre: np.ndarray
    shift: np.ndarray

    def moved(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] -> [..., 3]"""
        return (points - self.centre) @ self.rotation.T + self.centre + self.shift

    @property
    def turn(self) -> np.ndarray:
        """[3]: the axis in the world, as long as the angle in radians, up to half a turn."""
        sines = np.array([self.rotation[2, 1], self.rotation[0, 2], self.rotation[1, 0]]) - [
            self.rotation[1, 2],
            self.rotation[2, 0],
            self.rotation[0, 1],
        ]
        angle = np.arctan2(np.linalg.norm(sines), np.trace(self.rotation) - 1)
        return sines / 2 if angle < 1e-6 else sines / np.linalg.norm(sines) * angle


@dataclass(frozen=True)
class SeenPoints:
    """What one camera tells: points [N, 3] of the world now, and their pixels [N, 2] in its image then."""

    camera: Pinhole
    points: np.ndarray
    pixels: np.ndarray


def rigid_motion(seen: list[SeenPoints], centre: np.ndarray, axes: np.ndarray | None = None) -> RigidMotion | None:
    """The motion that most points agree on.

    Args:
        seen: of one camera or several that stand still. What is not finite does not count.
        centre: [3], about which it turns.
        axes: [K, 3], about which it may turn; None for any.

    Returns:
        None where it cannot be told: fewer than six points, or all of them on a line.
    """
    kept = [np.isfinite(of.points).all(-1) & np.isfinite(of.pixels).all(-1) for of in seen]
    counts = [int(keep.sum()) for keep in kept]
    if sum(counts) < LEAST_POINTS:
        return None
    points = np.concatenate([of.points[keep] for of, keep in zip(seen, kept, strict=True)]) - centre
    if _on_a_line(points):
        return None
    to_camera = np.repeat([of.camera.rotation.T for of in seen], counts, axis=0)  # [N, 3, 3]
    offset = np.repeat([centre - of.camera.position for of in seen], counts, axis=0)  # [N, 3]
    focal = np.repeat([of.camera.focal for of in seen], counts, axis=0)  # [N, 2]
    rays = [(of.pixels[keep] - of.camera.centre) / of.camera.focal for of, keep in zip(seen, kept, strict=True)]
    axes = np.eye(3) if axes is None else axes
    problem = _Problem(points, np.concatenate(rays), to_camera, offset, focal, axes)

    rng = np.random.default_rng(0)
    chosen = np.argsort(rng.random((_TRIALS, len(points))), axis=1)[:, :3]
    errors = problem.errors(*problem.solved(chosen))  # [trials, N]
    best = errors[np.argmin(np.median(errors, axis=1))]
    agreeing = np.flatnonzero(best <= max(_INLIERS * 1.4826 * float(np.median(best)), _EXACT))
    if len(agreeing) < LEAST_POINTS or _on_a_line(points[agreeing]):
        return None
    rotation, shift = problem.solved(agreeing[None])
    if not (np.isfinite(rotation).all() and np.isfinite(shift).all()):
        return None
    return RigidMotion(rotation[0], np.asarray(centre, np.float64), shift[0])


@dataclass(frozen=True)
class _Problem:
    """points [N, 3] about the centre; rays [N, 2] of their pixels then, x / z and y / z; of each point's camera the
    rotation [N, 3, 3] from the world, the offset [N, 3] from it to the centre, and the focal length [N, 2]; axes [K, 3] about which they may turn."""

    points: np.ndarray
    rays: np.ndarray
    to_camera: np.ndarray
    offset: np.ndarray
    focal: np.ndarray
    axes: np.ndarray

    def solved(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least squares over some points, many times at once: indices [B, n] -> rotations [B, 3, 3], shifts [B, 3]."""
        rotation, shift = np.tile(np.eye(3), (len(chosen), 1, 1)), np.zeros((len(chosen), 3))
        to_camera, focal = self.to_camera[chosen], self.focal[chosen]
        for _ in range(_ROUNDS):
            turned = np.einsum("bij,bnj->bni", rotation, self.points[chosen])
            ahead = np.einsum("bnij,bnj->bni", to_camera, turned + shift[:, None] + self.offset[chosen])
            residual, slope = self._residual(ahead, chosen)  # [B, n, 2], [B, n, 2, 3] by the place in the world
            slope = np.einsum("bnij,bnjk->bnik", slope, to_camera)
            jacobian = np.concatenate(
                [np.cross(turned[:, :, None], slope) @ self.axes.T, slope], axis=-1
            )  # [B, n, 2, K + 3]
            jacobian, residual = (
                (array * focal.reshape(*focal.shape, *[1] * (array.ndim - 3))).reshape(
                    len(chosen), -1, *array.shape[3:]
                )
                for array in (jacobian, residual)
            )
            normal = np.einsum("bmi,bmj->bij", jacobian, jacobian)
            normal += np.eye(normal.shape[-1]) * (1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-12)
            step = -np.linalg.solve(normal, np.einsum("bmi,bm->bi", jacobian, residual)[..., None])[..., 0]
            rotation = _turned(step[:, :-3] @ self.axes) @ rotation
            shift = shift + step[:, -3:]
        return rotation, shift

    def errors(self, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """[B, N] pixels"""
        turned = np.einsum("bij,nj->bni", rotation, self.points)
        ahead = np.einsum("nij,bnj->bni", self.to_camera, turned + shift[:, None] + self.offset)
        residual, _ = self._residual(ahead, np.arange(len(self.points)))
        return np.nan_to_num(np.linalg.norm(residual * self.focal, axis=-1), nan=np.inf)

    def _residual(self, ahead: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of points [..., 3] in their cameras: rays minus the wanted ones, and how these change with the point."""
        depth = np.maximum(ahead[..., 2], 1e-3)
        rays = ahead[..., :2] / depth[..., None]
        slope = np.zeros((*rays.shape, 3))
        slope[..., 0, 0] = slope[..., 1, 1] = 1 / depth
        slope[..., 2] = -rays / depth[..., None]
        return rays - self.rays[chosen], slope


def _on_a_line(points: np.ndarray) -> bool:
    sizes = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return sizes[1] <= _FLAT * sizes[0]


def _turned(turn: np.ndarray) -> np.ndarray:
    """Rotations [B, 3, 3] about axes [B, 3] by their length (Rodrigues)."""
    angle = np.linalg.norm(turn, axis=1)[:, None, None]
    cross = np.cross(turn[:, None], np.eye(3)).transpose(0, 2, 1)
    small = angle < 1e-8
    safe = np.where(small, 1, angle)
    sine = np.where(small, 1, np.sin(safe) / safe)
    rest = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + sine * cross + rest * cross @ cross

"""A policy that never saw an action: the hand goes where the forecast says that it goes.

Of the forecast it takes the motion over the next steps, in the world (tracks/rigid/hand.py), and divides it by how far the
arm goes under a full action. The numbers are LIBERO's; on another arm, replace them.
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.tracks.rigid.hand import SeenView, ViewTracks, gripper_motion, hand_motion, opening

SIDE, WRIST = "side", "effector"
LOOKAHEAD = 4  # steps of the forecast whose motion counts
RADIUS = 0.08  # of the gripper's region, in widths of the image
# How far LIBERO's arm goes, and how far it turns, in a control step under a full action, once it is moving: measured, see
# docs/policy.md. (The controller's goals lie 0.05 m and 0.5 rad ahead; the arm does not reach them in 1/20 s.)
METRES_PER_STEP = 0.0125
RADIANS_PER_STEP = 0.105
OPEN, CLOSED = -1.0, 1.0
# Where LIBERO's fingertips are in the wrist view, in widths and heights of the image, while the fingers are told to open
# and to close; the radius around them, and the change that counts, in widths.
FINGERTIPS = {OPEN: np.array([[0.24, 0.8], [0.76, 0.8]]), CLOSED: np.array([[0.4, 0.8], [0.6, 0.8]])}
FINGERTIP_RADIUS, FINGER_MOTION = 0.06, 0.04


@dataclass
class Follower:
    """fingers: what they are told, -1 open, 1 closed; they change where the wrist view's own points say so."""

    radius: float = RADIUS
    gain: float = 1.0
    fingers: float = OPEN
    follow_fingers: bool = True

    def action(
        self, futures: dict[str, ViewTracks], views: dict[str, SeenView], gripper: np.ndarray, start: int, end: int
    ) -> np.ndarray:
        """[7] in [-1, 1]: how the arm is to go and to turn, and the fingers.

        Args:
            futures: by view, the side view's among them.
            views: the cameras that stand still; the side view's among them.
            gripper: [3], between the fingertips at step `start`, metres in the world.

        Raises:
            ValueError: where the gripper's or a camera's place is not finite.
        """
        motion = hand_motion(futures, views, gripper, start, end, self.radius)
        if motion is not None:
            shift, turn = motion.shift, motion.turn
        else:
            camera = views[SIDE].camera
            pixel, depth = camera.project(gripper)
            shift = camera.lift_motion(gripper_motion(futures[SIDE], pixel, start, end, self.radius), depth)
            turn = np.zeros(3)
        a_step = np.concatenate([shift / METRES_PER_STEP, turn / RADIANS_PER_STEP]) / (end - start)
        if not np.isfinite(a_step).all():
            raise ValueError("the gripper's or a camera's pose has values that are not finite")
        moves_along = WRIST in futures and WRIST not in views  # a camera that stands still shows no fingers
        if self.follow_fingers and moves_along:
            tips = FINGERTIPS[CLOSED if self.fingers > 0 else OPEN]
            change = opening(futures[WRIST], tips, start, end, FINGERTIP_RADIUS)
            if change is not None and abs(change) > FINGER_MOTION:
                self.fingers = OPEN if change > 0 else CLOSED
        return np.append(np.clip(self.gain * a_step, -1, 1), self.fingers)

"""A skill of the scripted expert: phases one after another, gone through in a manner of its own."""

import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.phases import Phase
from trajforecast_model.sim.expert.variation import varied

METRES_PER_ACTION = 0.05
RADIANS_PER_ACTION = 0.5


class Skill:
    """Yields one action a control step until `done`.

    Args:
        rng: varies the speed and a smooth disturbance of the motion, so that no two episodes look the same.
    """

    def __init__(self, arm: Arm, rng: np.random.Generator, disturbance: float = 0.05):
        self.arm, self.rng = arm, rng
        self.speed = rng.uniform(0.6, 1.0)
        self._disturbance = disturbance
        self.done = False

    def begin(self, phases: list[Phase]) -> None:
        self._phases = varied(phases, self.arm.gripper_pose()[0], self.rng)
        self._phase_index = 0
        self._steps_in_phase = 0
        self._drift = np.zeros(3)
        self._last_fingers: np.ndarray | None = None

    def act(self) -> np.ndarray:
        """The next action [7]."""
        phase = self._phases[self._phase_index]
        position, rotation = self.arm.gripper_pose()
        position_error = phase.target - position
        rotation_error = Rotation.from_matrix(phase.rotation @ rotation.T).as_rotvec()

        # Slow down for the last centimetres above the object.
        precise = phase.tolerance <= 0.008
        top_speed = self.speed * phase.speed * (0.5 if precise else 1.0)
        move = position_error / METRES_PER_ACTION
        move = move * min(1.0, top_speed / max(np.abs(move).max(), 1e-9))
        if phase.kind == "move" and not precise:
            self._drift = 0.8 * self._drift + self.rng.normal(0, self._disturbance, 3)
            move = move + self._drift
        turn = 1.5 * rotation_error / RADIANS_PER_ACTION
        if phase.kind == "pause":
            move, turn = np.zeros(3), np.zeros(3)

        self._advance(phase, np.linalg.norm(position_error), np.linalg.norm(rotation_error))
        return np.concatenate([np.clip(move, -1, 1), np.clip(turn, -0.5, 0.5), [phase.gripper]])

    def after_last_phase(self) -> None:
        """Looks at what has come of it; may `begin` again."""

    def _advance(self, phase: Phase, distance: float, angle: float) -> None:
        self._steps_in_phase += 1
        fingers = self.arm.fingers()
        still = self._last_fingers is not None and np.abs(fingers - self._last_fingers).max() < 2e-4
        self._last_fingers = fingers
        holding = still and self._steps_in_phase >= 8 and abs(fingers[0] - fingers[1]) < 0.074
        arrived = distance < phase.tolerance and angle < 0.12
        finished = (
            self._steps_in_phase >= phase.max_steps
            or (phase.kind == "close" and holding)
            or (phase.kind in ("move", "push") and arrived)
            or (phase.until is not None and phase.until())
        )
        if not finished:
            return
        self._phase_index += 1
        self._steps_in_phase = 0
        if self._phase_index == len(self._phases):
            self.after_last_phase()
        self.done = self._phase_index >= len(self._phases)

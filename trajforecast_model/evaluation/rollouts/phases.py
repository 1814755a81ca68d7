"""How far an episode of pick and place came, told from the simulator's own state."""

import mujoco
import numpy as np

from trajforecast_model.evaluation.rollouts.report import PHASES
from trajforecast_model.sim.environment import Goal, TaskEnvironment
from trajforecast_model.sim.expert.surfaces import visible_points
from trajforecast_model.sim.scene.live_view import GRIP_SITE

NEAR = 0.03  # metres from the point between the fingertips to the item's surface
LIFTED = 0.03  # metres over where the item stood
OVER = 0.08  # metres on the ground from the item to the target's middle
_POINTS = 2000  # of the item's surface


class PhaseWatch:
    """Watches an episode from its beginning. Phases are reached in order: what was never lifted was not transported."""

    def __init__(self, environment: TaskEnvironment, goal: Goal):
        if not goal.target:
            raise ValueError(
                f"the task asks to {goal.relation} {goal.item}; rollouts tell how far picking and placing came alone. "
                "Choose other tasks"
            )
        self._environment, self._goal = environment, goal
        model, data = environment.model, environment.data
        self._item = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, f"{goal.item}_main")
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, GRIP_SITE)
        points = visible_points(model, data, f"{goal.item}_main")
        points = points[:: max(1, len(points) // _POINTS)]
        self._surface = (points - data.xpos[self._item]) @ data.xmat[self._item].reshape(
            3, 3
        )  # in the item's own frame
        self._stood_at = data.xpos[self._item][2]
        self.reached: dict[str, int | None] = dict.fromkeys(PHASES)

    def look(self, step: int) -> None:
        """Notes what is reached for the first time, after so many control steps."""
        for phase in PHASES:
            if self.reached[phase] is not None:
                continue
            if not getattr(self, f"_{phase}")():
                break
            self.reached[phase] = step
        if self.reached["placed"] is None and self._placed():  # by whatever way
            self.reached["placed"] = step

    def _approached(self) -> bool:
        data = self._environment.data
        rotation = data.xmat[self._item].reshape(3, 3)
        fingertips = (data.site_xpos[self._site] - data.xpos[self._item]) @ rotation
        return bool(np.linalg.norm(self._surface - fingertips, axis=1).min() < NEAR)

    def _grasped(self) -> bool:
        return bool(self._environment.data.xpos[self._item][2] > self._stood_at + LIFTED and self._approached())

    def _transported(self) -> bool:
        item = self._environment.data.xpos[self._item]
        return bool(np.linalg.norm(item[:2] - self._target()[:2]) < OVER)

    def _placed(self) -> bool:
        return self._environment.reached(self._goal)

    def _target(self) -> np.ndarray:
        model, data = self._environment.model, self._environment.data
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, self._goal.target)
        if site >= 0:
            return data.site_xpos[site]
        return data.xpos[mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, f"{self._goal.target}_main")]

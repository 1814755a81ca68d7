"""Who acts in an episode: a trained policy, one that only follows forecasts, or the scripted expert."""

from typing import Protocol

import numpy as np

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.policy.chunks import BlendedChunks
from trajforecast_model.policy.follower import LOOKAHEAD, SIDE, Follower
from trajforecast_model.policy.policy import FINGERS, JOINTS, Policy
from trajforecast_model.sim.environment import TaskEnvironment
from trajforecast_model.sim.expert.skills import Expert, in_order
from trajforecast_model.sim.scene.live_view import LiveView
from trajforecast_model.tracks.rigid.hand import DepthImage, SeenView, ViewTracks

SEED = 0  # of every forecast, the forecast node's own default: over ROS the actions are the same
_OTHER_EPISODE = 500_000  # added to a seed, of whose scene a swapped forecast is


class Actor(Protocol):
    def begin(self, seed: int) -> None:
        """Before the first action of an episode; the environment may be reset by it, and is reset after it."""

    def act(self, step: int) -> np.ndarray:
        """The action [7] of a control step, counted from 0."""


class ExpertActor:
    """Acts from the simulator's privileged state; when its plan is done it stays."""

    def __init__(self, environment: TaskEnvironment):
        self._environment = environment
        self._expert: Expert | None = None

    def begin(self, seed: int) -> None:
        self._seed, self._expert = seed, None

    def act(self, step: int) -> np.ndarray:
        if self._expert is None:  # planned from the scene as it is
            goals = in_order(self._environment.goals())
            self._expert = Expert(self._environment, goals, np.random.default_rng(self._seed))
        return np.zeros(7) if self._expert.done else self._expert.act()


class FollowerActor:
    """Goes where the forecast says that the hand goes, as policy_node does with depth; it never saw an action.

    Args:
        every: control steps between two forecasts.
        samples, steps: of a forecast; steps None for the checkpoint's own.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        environment: TaskEnvironment,
        view: LiveView,
        every: int,
        samples: int,
        steps: int | None,
    ):
        self._forecaster, self._environment, self._view = forecaster, environment, view
        self._every, self._samples, self._steps = every, samples, steps

    def begin(self, seed: int) -> None:
        self._follower = Follower()
        self._futures: dict[str, ViewTracks] = {}

    def act(self, step: int) -> np.ndarray:
        now = step % self._every
        if now == 0:
            self._futures = self._forecast()
        camera = self._view.camera(SIDE)
        seen = SeenView(camera, DepthImage(self._view.depth(SIDE), camera.focal, camera.centre))
        gripper = self._view.gripper_pose().position
        return self._follower.action(self._futures, {SIDE: seen}, gripper, now, now + LOOKAHEAD)

    def _forecast(self) -> dict[str, ViewTracks]:
        images = {view: self._view.image(view) for view in self._view.views}
        instruction = self._environment.task.instruction
        forecast = self._forecaster.predict(images, instruction, self._samples, self._steps, SEED)
        return {
            view: ViewTracks(samples[best], images[view].shape[:2])
            for view, samples, best in zip(forecast.views, forecast.tracks, forecast.medoid, strict=True)
        }


class PolicyActor:
    """Looks, forecasts and asks the policy for a chunk every few steps.

    Args:
        swapped: tells the policy of another episode's forecasts, of the scripted expert at the same step; it sees its own
            pictures.
    """

    def __init__(self, policy: Policy, environment: TaskEnvironment, view: LiveView, swapped: bool = False):
        self._policy, self._environment, self._view, self._swapped = policy, environment, view, swapped
        self._chunks = BlendedChunks(policy.config.execution.blend)
        self._of_another: list[np.ndarray] = []  # what the policy is told, one for each time that it is asked

    def begin(self, seed: int) -> None:
        self._chunks.clear()
        if self._swapped:
            self._of_another = self._forecasts_of(seed + _OTHER_EPISODE)

    def act(self, step: int) -> np.ndarray:
        every = self._policy.config.execution.every
        if step % every == 0:
            images = self._images()
            told = self._told(images)
            if self._swapped:
                told = self._of_another[min(step // every, len(self._of_another) - 1)]
            qpos = self._environment.data.qpos
            chunk = self._policy.chunk(
                images, qpos[:JOINTS], qpos[JOINTS : JOINTS + FINGERS], self._environment.task.instruction, told
            )
            self._chunks.add(step, chunk)
        return self._chunks.action(step)

    def _images(self) -> dict[str, np.ndarray]:
        return {view: self._view.image(view) for view in self._policy.config.views}

    def _told(self, images: dict[str, np.ndarray]) -> np.ndarray | None:
        if not self._policy.needs_tracks or self._swapped:
            return None
        return self._policy.told(self._policy.forecast(images, self._environment.task.instruction, SEED))

    def _forecasts_of(self, seed: int) -> list[np.ndarray]:
        policy, every = self._policy, self._policy.config.execution.every
        self._environment.reset(seed)
        expert, told, step = ExpertActor(self._environment), [], 0
        expert.begin(seed)
        while not self._environment.succeeded() and step < 300:
            if step % every == 0:
                futures = policy.forecast(self._images(), self._environment.task.instruction, SEED)
                told.append(policy.told(futures))
            self._environment.step(expert.act(step))
            step += 1
        return told

"""What the released demos record after each action: both camera images and the robot's own readings."""

import copy

import numpy as np

from trajforecast_model.sim.cameras import VIEW_DATASETS
from trajforecast_model.sim.environment import TaskEnvironment
from trajforecast_model.sim.scene.mesh_thinning import thin_for_rendering
from trajforecast_model.sim.scene.rendering import SceneRenderer


class Observer:
    """Called after an action, it returns the observations of that moment by their names in the released files.

    Images are 128x128 and upside down, as the released ones are.
    """

    def __init__(self, environment: TaskEnvironment):
        self._environment = environment
        # A copy: the expert looks for its grasp on the environment's own, full meshes.
        thinned = copy.copy(environment.model)
        thin_for_rendering(thinned)
        self._renderer = SceneRenderer(thinned)

    def __call__(self) -> dict[str, np.ndarray]:
        images = {
            dataset: self._renderer.image(self._environment.data, view)[::-1] for view, dataset in VIEW_DATASETS.items()
        }
        return images | self._environment.proprioception()

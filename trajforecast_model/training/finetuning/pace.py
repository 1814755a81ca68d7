"""How long a step of a training takes on this machine, measured before it begins."""

import time

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.batches import collate, spread_evenly
from trajforecast_model.training.configs import RunConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.gradients import StepGradients
from trajforecast_model.training.loop import Stage
from trajforecast_model.training.noise import WindowNoise

_UNTIMED, _TIMED = 1, 3  # steps; the first ones set up what later ones find


def seconds_per_step(stage: Stage, config: RunConfig, world: World) -> float:
    """Of a step with its batch; the stage's weights stay as they are."""
    optimisation = config.optimisation
    windows = ShardDataset(config.data.folder, "train", history=stage.reads_history, history_pictures=False)
    chosen = spread_evenly(len(windows), optimisation.batch_size)
    gradients = StepGradients(stage.loss, stage.model.to(world.device).train(), optimisation, world)
    for step in range(_UNTIMED + _TIMED):
        if step == _UNTIMED:
            start = time.perf_counter()
        batch = collate([windows[index] for index in chosen]).to(world.device)
        noise = WindowNoise(optimisation.seed, step, range(len(chosen)), world.device)
        gradients.compute([(batch, noise)], stage.mean_weight(batch))["loss"].item()
    seconds = (time.perf_counter() - start) / _TIMED
    stage.model.zero_grad(set_to_none=True)
    return seconds

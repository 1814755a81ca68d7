"""One future of a block scene: every block gets a velocity toward the centre, then MuJoCo steps."""

import mujoco
import numpy as np

from trajforecast_model.sim.blocks.model import FRAMES_PER_SECOND

NUM_FRAMES = 24
VELOCITY_RANGE = ((-4.0, -4.0, 0.0), (4.0, 4.0, 0.0))  # m/s, around the velocity that reaches the centre in a second


def launch_velocities(seed: int, rollout: int, positions: np.ndarray) -> np.ndarray:
    """Velocities [N, 3] of blocks at `positions` [N, 3], m/s: MOVi's, uniform but biased toward the centre.

    They depend on the seed and the number of the rollout alone, not on how many rollouts are made.
    """
    rng = np.random.default_rng([seed, 1, rollout])
    return rng.uniform(*VELOCITY_RANGE, positions.shape) - positions * [1, 1, 0]


def simulate_rollout(model: mujoco.MjModel, seed: int, rollout: int) -> np.ndarray:
    """States of every frame, float64 [T, 1 + nq + nv]: time, positions, velocities. The first is the launch.

    The model's first pose is where the blocks begin, each on a free joint.
    """
    data = mujoco.MjData(model)
    blocks = model.nq // 7
    positions = data.qpos.reshape(blocks, 7)[:, :3]
    data.qvel.reshape(blocks, 6)[:, :3] = launch_velocities(seed, rollout, positions)
    steps = round(1 / (FRAMES_PER_SECOND * model.opt.timestep))
    states = [_state(data)]
    for _ in range(NUM_FRAMES - 1):
        mujoco.mj_step(model, data, steps)
        states.append(_state(data))
    return np.stack(states)


def _state(data: mujoco.MjData) -> np.ndarray:
    return np.concatenate([[data.time], data.qpos, data.qvel])

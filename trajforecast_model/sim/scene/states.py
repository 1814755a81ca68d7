"""A MuJoCo scene in a recorded state: shown without simulating, and read."""

import mujoco
import numpy as np


def show_state(model: mujoco.MjModel, data: mujoco.MjData, state: np.ndarray, owner: str) -> None:
    """Puts `data` into a state, float [1 + nq + nv]: time, positions, velocities.

    Args:
        owner: whose state it should be, for the message.

    Raises:
        ValueError: if the state does not belong to this model.
    """
    positions, velocities = model.nq, model.nv
    if state.shape != (1 + positions + velocities,):
        raise ValueError(f"a state has {state.size} values, {owner} needs {1 + positions + velocities}")
    data.qpos[:] = state[1 : 1 + positions]
    data.qvel[:] = state[1 + positions :]
    mujoco.mj_forward(model, data)


def body_poses(data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """Positions [B, 3] and rotations [B, 3, 3] (body to world) of every body; body 0 is the world."""
    return data.xpos.copy(), data.xmat.reshape(-1, 3, 3).copy()

"""robosuite's control step for one Panda arm, without what a scripted expert has no use for.

robosuite computes the scene's state three times every 2 ms, and all its sensors once; once is enough. The physics and the
controller's formulas are the same, so an action does the same but for rounding.
"""

import mujoco
import numpy as np


class QuickSteps:
    """Applies actions to a robosuite environment whose robot has the controller OSC_POSE.

    Args:
        environment: robosuite's own, made and reset; `begin` is to be called after each further reset.
    """

    def __init__(self, environment):
        self._environment = environment
        self.begin()

    def begin(self) -> None:
        self._model, self._data = self._environment.sim.model._model, self._environment.sim.data._data
        robot = self._environment.robots[0]
        self._controller, self._gripper = robot.controller, robot.gripper
        self._site = robot.eef_site_id
        self._positions, self._velocities = (
            np.array(of) for of in (self._controller.qpos_index, robot._ref_joint_vel_indexes)
        )
        self._torque_limits = robot.torque_limits
        self._arm = np.array(robot._ref_joint_actuator_indexes)
        self._fingers = np.array(robot._ref_joint_gripper_actuator_indexes)
        ranges = self._model.actuator_ctrlrange[self._fingers]
        self._finger_middle, self._finger_reach = ranges.mean(axis=1), np.ptp(ranges, axis=1) / 2
        velocities = self._model.nv
        self._jacobian = np.zeros((6, velocities))
        self._mass = np.zeros((velocities, velocities))
        self._square = np.ix_(self._velocities, self._velocities)

    def step(self, action: np.ndarray) -> None:
        """An action [7] for one control step."""
        environment, data = self._environment, self._data
        environment.timestep += 1
        for number in range(int(environment.control_timestep / environment.model_timestep)):
            mujoco.mj_step1(self._model, data)
            self._tell_controller()
            if number == 0:
                self._controller.set_goal(action[:6])
            data.ctrl[self._arm] = np.clip(self._controller.run_controller(), *self._torque_limits)
            data.ctrl[self._fingers] = self._finger_middle + self._finger_reach * self._gripper.format_action(
                action[6:]
            )
            mujoco.mj_step2(self._model, data)
        environment.cur_time += environment.control_timestep
        environment._post_process()

    def _tell_controller(self) -> None:
        """What `controller.update()` does, from the state as it is."""
        controller, data = self._controller, self._data
        mujoco.mj_jacSite(self._model, data, self._jacobian[:3], self._jacobian[3:], self._site)
        velocity = self._jacobian @ data.qvel
        controller.ee_pos = data.site_xpos[self._site].copy()
        controller.ee_ori_mat = data.site_xmat[self._site].reshape(3, 3).copy()
        controller.ee_pos_vel, controller.ee_ori_vel = velocity[:3], velocity[3:]
        controller.joint_pos, controller.joint_vel = data.qpos[self._positions], data.qvel[self._velocities]
        controller.J_full = np.ascontiguousarray(self._jacobian[:, self._velocities])
        controller.J_pos, controller.J_ori = controller.J_full[:3], controller.J_full[3:]
        mujoco.mj_fullM(self._model, self._mass, data.qM)
        controller.mass_matrix = self._mass[self._square]
        controller.new_update = False

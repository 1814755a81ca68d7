"""An operator with a lifecycle manager and `ros2 param set`, in the test's process."""

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter


class Manager:
    def __init__(self, listener):
        self.listener = listener
        node = listener.node
        self._change = node.create_client(ChangeState, "/forecast_node/change_state")
        self._state = node.create_client(GetState, "/forecast_node/get_state")
        self._set = node.create_client(SetParameters, "/forecast_node/set_parameters")
        self._describe = node.create_client(DescribeParameters, "/forecast_node/describe_parameters")

    def change(self, transition: int) -> bool:
        return self.begin(transition)().success

    def begin(self, transition: int):
        """Asks for a transition; what comes back waits for the answer."""
        self.state()  # the node has found this client now: it was made before that of the state
        request = ChangeState.Request(transition=Transition(id=transition))
        future = self._change.call_async(request)

        def answer():
            self.listener.wait_for(future.done, "a transition's answer")
            return future.result()

        return answer

    def state(self) -> int:
        return self.listener.call(self._state, GetState.Request()).current_state.id

    def set(self, **values):
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        )
        return self.listener.call(self._set, request).results

    def describe(self, *names: str):
        return self.listener.call(self._describe, DescribeParameters.Request(names=list(names))).descriptors

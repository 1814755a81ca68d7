"""What the forecast node publishes, and for whom."""

from rclpy.lifecycle import LifecycleNode
from robot import RELIABLE
from trajforecast_msgs.msg import ForecastScore

from trajforecast_ros.forecast.outputs import Outputs


def test_a_subscriber_to_scores_is_a_listener_only_while_there_are_scores(listener):
    node = LifecycleNode("forecast_node", namespace="/of_this_test")
    outputs = Outputs(node, ["side"])
    listener.node.create_subscription(
        ForecastScore, "/of_this_test/predicted_tracks/score", lambda score: None, RELIABLE
    )
    listener.wait_for(lambda: outputs.anybody_listens(scoring=True), "the subscriber")
    assert not outputs.anybody_listens(scoring=False)
    outputs.destroy()
    node.destroy_node()

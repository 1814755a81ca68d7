"""What the forecast node publishes of a forecast, each message only while somebody listens to it."""

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from trajforecast_msgs.msg import ForecastScore, PredictedTracks, TrackSummary
from trajforecast_msgs.srv import Predict
from visualization_msgs.msg import Marker

from trajforecast_model.forecaster import Forecast
from trajforecast_model.tracks.overlay import draw_forecast
from trajforecast_ros.forecast.thread import Result
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import Source, summary_message, tracks_message
from trajforecast_ros.qos import RESULT, RESULT_OF_EACH_VIEW
from trajforecast_ros.viewing import foxglove
from trajforecast_ros.viewing.markers import track_marker


class Outputs:
    """The node's publishers of forecasts, from configure to cleanup."""

    def __init__(self, node: LifecycleNode, views: list[str]):
        self._node = node
        self._publishers: list[LifecyclePublisher] = []
        try:
            self._make(views)
        except Exception:
            self.destroy()
            raise

    def _make(self, views: list[str]) -> None:
        overridable = QoSOverridingOptions.with_default_policies()
        self._tracks = self._add(PredictedTracks, "predicted_tracks", qos_overriding_options=overridable)
        self._summary = self._add(TrackSummary, "predicted_tracks/summary", qos_overriding_options=overridable)
        self._score = self._add(ForecastScore, "predicted_tracks/score")
        self._overlays = {view: self._add(Image, f"~/overlay/{view}") for view in views}
        self._markers = self._add(Marker, "~/markers", RESULT_OF_EACH_VIEW)
        self._annotations = {}
        if foxglove.is_available():
            self._annotations = {
                view: self._add(foxglove.annotations_type(), f"~/annotations/{view}") for view in views
            }

    def anybody_listens(self, scoring: bool) -> bool:
        """Whether a forecast would reach anyone; its score is one of the ways while the node is scoring."""
        ways = (publisher for publisher in self._publishers if scoring or publisher is not self._score)
        return any(publisher.get_subscription_count() for publisher in ways)

    def publish(self, result: Result) -> Predict.Response:
        """Publishes a forecast, and gives the answer to the ~/predict call that asked for it, if one did."""
        asked_for = result.job.answer is not None
        forecast, circumstances = result.forecast, result.circumstances
        reduction = result.job.settings.reduction()
        response = Predict.Response(success=True)
        if asked_for or self._tracks.get_subscription_count():
            response.tracks = tracks_message(forecast, circumstances, reduction)
            self._tracks.publish(response.tracks)
        if asked_for or self._summary.get_subscription_count():
            response.summary = summary_message(forecast, circumstances, reduction)
            self._summary.publish(response.summary)
        lifetime = _drawing_lifetime(result)
        for index, source in enumerate(circumstances.sources):
            self._draw(source, result.images[source.view], forecast, index, lifetime)
        response.message = (
            f"{len(forecast.views)} views, {result.job.num_samples} samples in {circumstances.compute_time:.2f} s"
        )
        return response

    def publish_score(self, score: ForecastScore) -> None:
        self._score.publish(score)

    def destroy(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _draw(self, source: Source, image: np.ndarray, forecast: Forecast, view: int, lifetime: float) -> None:
        """Over the image [height, width, 3] of one view; the mean is computed only for somebody who looks."""
        samples = forecast.tracks[view]
        if self._overlays[source.view].get_subscription_count():
            drawn = draw_forecast(image, samples, forecast.mean_track[view])
            self._overlays[source.view].publish(to_message(drawn, source.header))
        if self._markers.get_subscription_count():
            self._markers.publish(track_marker(samples, forecast.mean_track[view], source, lifetime=lifetime))
        annotations = self._annotations.get(source.view)
        if annotations is not None and annotations.get_subscription_count():
            annotations.publish(foxglove.track_annotations(samples, forecast.mean_track[view], source))

    def _add(self, message_type, topic: str, qos: QoSProfile = RESULT, **options) -> LifecyclePublisher:
        publisher = self._node.create_lifecycle_publisher(message_type, topic, qos, **options)
        self._publishers.append(publisher)
        return publisher


def _drawing_lifetime(result: Result) -> float:
    """Seconds until a drawing is out of date: its camera has gone then, while a slow machine's next forecast is there."""
    if result.job.answer is not None:
        return 0.0  # for ever: a call need not have a next one
    settings = result.job.settings
    pause = 1 / settings.max_rate if settings.max_rate else 0.0
    return settings.camera_timeout + pause + 3 * result.circumstances.compute_time

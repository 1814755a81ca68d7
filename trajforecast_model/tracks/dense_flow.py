"""Points carried through a video by dense optical flow, which sees motion where a small patch has nothing to hold on to.
Needs nothing but OpenCV.

Dense inverse search: Kroeger et al., ECCV 2016.
"""

import cv2
import numpy as np

SIDE = 256  # larger side of the images in which flow is computed; smaller ones are enlarged
PATCH_STRIDE = 4
SMOOTHNESS = 10.0  # half of OpenCV's: less of a thing's motion is smeared over its edges
_LEAST_SIDE = 32  # pixels of the smaller side, enlarged, below which there is no flow
_AT_ONCE = 16384  # points that the flow is read at: OpenCV takes no map of more than 32767 rows


class DenseTracker:
    """Carries points from frame to frame; none is lost, also where it is hidden or outside of the image.

    Args:
        frame: grey uint8 [H, W], the frame that the points are on.
        points: [P, 2] pixels, (0, 0) the corner of the top-left pixel.
    """

    def __init__(self, frame: np.ndarray, points: np.ndarray):
        self._size = frame.shape
        self._enlarged = max(1.0, SIDE / max(self._size))
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setPatchStride(PATCH_STRIDE)
        self._flow.setVariationalRefinementAlpha(SMOOTHNESS)
        self._gray = self._at_size(frame)
        self.points = np.array(points, dtype=np.float32).reshape(-1, 2)

    def update(self, frame: np.ndarray) -> None:
        """Goes on to the next frame: `points` float32 [P, 2] are then where they are in this frame.

        Raises:
            ValueError: for a frame of another size.
        """
        if frame.shape != self._size:
            raise ValueError(f"the video's frames are {self._size} (height, width), now one of {frame.shape} came")
        gray = self._at_size(frame)
        if len(self.points) and min(gray.shape) >= _LEAST_SIDE:
            self.points = self.points + self._at(self._flow.calc(self._gray, gray, None))
        self._gray = gray

    def _at_size(self, frame: np.ndarray) -> np.ndarray:
        if self._enlarged == 1:
            return frame
        return cv2.resize(frame, None, fx=self._enlarged, fy=self._enlarged, interpolation=cv2.INTER_LINEAR)

    def _at(self, flow: np.ndarray) -> np.ndarray:
        """The flow under the points, in the video's pixels; outside of the image that of the nearest pixel."""
        there = []
        for first in range(0, len(self.points), _AT_ONCE):
            # OpenCV has the pixel's centre at whole numbers.
            x, y = (self.points[first : first + _AT_ONCE] * self._enlarged - 0.5).T
            there.append(cv2.remap(flow, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        return np.concatenate(there)[:, 0] / self._enlarged

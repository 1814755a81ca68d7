"""Images on their way into the networks: checked, and resized to what the networks were trained on."""

import cv2
import numpy as np


def check_image(image: np.ndarray, name: str) -> None:
    """Raises ValueError unless `image` is uint8 RGB [H, W, 3] and not empty."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image {name!r}: expected a numpy array uint8 [H, W, 3], got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image {name!r}: expected RGB uint8 [H, W, 3], got {image.dtype} {list(image.shape)}; convert it first"
        )
    if 0 in image.shape:
        raise ValueError(f"image {name!r}: is empty, its shape is {list(image.shape)}")


def check_views(images: dict[str, np.ndarray], known: tuple[str, ...] | None = None) -> None:
    """Raises ValueError unless that is a dict of images by view, of one view at least.

    Args:
        known: the views that a model was trained on; None where it knows no views apart.
    """
    example = known[0] if known else "side"
    if not isinstance(images, dict):
        raise ValueError(
            f"images: got a {type(images).__name__}, expected a dict of one image a view, such as {{{example!r}: image}}"
        )
    if not images:
        wanted = f"of the views {', '.join(known)}" if known else f"by view, such as {{{example!r}: image}}"
        raise ValueError(f"no image given; expected one or more {wanted}")
    for view in images:
        if known and view not in known:
            raise ValueError(f"view {view!r} is unknown; this model's views are {', '.join(known)}")


def decode_rgb(data: bytes) -> np.ndarray | None:
    """An encoded picture as uint8 RGB [H, W, 3]; None where it is none, is damaged, or claims to be too large.

    Raises:
        ValueError: where its values are not of 8 bits, as those of depth maps: what they mean as colours is not known.
    """
    image = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        image = _decoded(data, cv2.IMREAD_UNCHANGED)  # floats of one channel have no colours to become
    if image is not None and image.dtype != np.uint8:
        raise ValueError(
            f"has {image.dtype} values, as a depth map has, or a picture of 16 bits; expected 8 bits a channel: take the "
            "colour camera's picture, or convert it"
        )
    return None if image is None or image.ndim != 3 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decoded(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None


def resize_images(images: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Resizes each of uint8 [H, W, 3] to (height, width), stacked: [B, height, width, 3]."""
    return np.stack([resize_image(image, size) for image in images])


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 [H, W, 3] to (height, width), aspect not kept; averages where it shrinks."""
    if image.shape[:2] == tuple(size):
        return image
    while _halves_well(image, size):  # averages of two by two pixels are quick: a third of the time for 640 x 480
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _halves_well(image: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether half of [H, W, 3] is whole pixels, and still so much more than `size` that the rest averages well."""
    return all(side % 2 == 0 and side >= 3 * wanted for side, wanted in zip(image.shape[:2], size, strict=True))

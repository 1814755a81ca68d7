"""Which points move: the filter of the LIBERO protocol."""

PROTOCOL_IMAGE_SIZE = (128, 128)  # the thresholds and the figures of the papers are in pixels of such images
MOVING_VARIANCE = 10.0  # px^2 there


def moving_points(tracks):
    """True where the unbiased variance over time, summed over x and y, exceeds 10 px^2 (ATM; WHN section D.4.1).

    Args:
        tracks: [..., T, H, W, 2], pixels at PROTOCOL_IMAGE_SIZE, numpy or torch.

    Returns:
        bool [..., H, W]
    """
    mean = tracks.mean(-4, keepdims=True)
    variance = ((tracks - mean) ** 2).sum(-4) / (tracks.shape[-4] - 1)
    return variance.sum(-1) > MOVING_VARIANCE

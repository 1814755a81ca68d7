"""What is quick in sampling says what the plain formula says."""

import torch

from trajforecast_model.inference.sampling import to_pixels
from trajforecast_model.tracks.grid import denormalise


def test_pixels_made_in_place_are_those_of_the_plain_formula():
    normalised = torch.randn(2, 3, 5, 2, 4, 6).movedim(3, -1).contiguous().movedim(-1, 3)  # in memory as it is decoded
    sizes = [(480, 640), (128, 130)]
    plain = torch.stack(
        [denormalise(tracks.movedim(2, -1), size) for tracks, size in zip(normalised, sizes, strict=True)]
    )
    torch.testing.assert_close(to_pixels(normalised.clone(), sizes), plain)

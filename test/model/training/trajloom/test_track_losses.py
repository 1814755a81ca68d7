"""The VAE's losses against numbers worked out by hand."""

import math

import pytest
import torch

from trajforecast_model.training.trajloom.track_losses import (
    kl_to_normal,
    masked_huber,
    spatial_consistency,
    temporal_consistency,
)


def still(windows: int = 1, frames: int = 3, rows: int = 2, columns: int = 3) -> torch.Tensor:
    return torch.zeros(windows, frames, 2, rows, columns)


def all_seen(tracks: torch.Tensor) -> torch.Tensor:
    return torch.ones(tracks.shape[0], tracks.shape[1], *tracks.shape[3:])


def test_huber_is_a_mean_over_visible_points_and_both_coordinates_window_by_window():
    truth = still(windows=2)
    tracks, seen = truth.clone(), torch.zeros_like(all_seen(truth))
    seen[0, 0, 0, :2] = 1
    tracks[0, 0, :, 0, 0] = torch.tensor([0.5, 3.0])  # 0.125, and 2.5 beyond delta 1
    tracks[0, 1] = 100.0  # hidden
    seen[1, 2, 1, 2] = 1
    tracks[1, 2, 0, 1, 2] = 0.2  # 0.02
    first, second = (0.125 + 2.5) / (2 * 2), 0.02 / 2
    assert masked_huber(tracks, truth, seen, 1.0).item() == pytest.approx((first + second) / 2)


def test_huber_weighs_points_over_the_sum_of_their_weights():
    truth = still()
    tracks, weight = truth.clone(), torch.zeros_like(all_seen(truth))
    weight[0, 0, 0, 0], weight[0, 0, 0, 1] = 3.0, 1.0
    tracks[0, 0, 0, 0, 0] = 0.2
    assert masked_huber(tracks, truth, weight, 1.0).item() == pytest.approx(3 * 0.02 / (2 * 4))


@pytest.mark.parametrize("loss", [temporal_consistency, spatial_consistency])
def test_consistency_is_zero_for_equal_motion_elsewhere_and_without_anything_seen(loss):
    truth = torch.randn(2, 4, 2, 5, 6)
    moved_away = truth + torch.tensor([0.3, -0.1])[:, None, None]
    assert loss(moved_away, truth, all_seen(truth)).item() == pytest.approx(0, abs=1e-6)
    nothing = loss(torch.randn_like(truth), truth, torch.zeros_like(all_seen(truth)))
    assert nothing.item() == 0


def test_velocity_counts_where_both_frames_are_seen():
    truth, seen = still(frames=3, rows=1, columns=2), torch.ones(1, 3, 1, 2)
    tracks = truth.clone()
    tracks[0, 1, :, 0, 0] = torch.tensor([0.3, -0.2])  # away and back: 0.5 in each of two pairs
    tracks[0, 2, :, 0, 1] = 7.0
    seen[0, 2, 0, 1] = 0  # leaves point 1 one pair, without an error
    assert temporal_consistency(tracks, truth, seen).item() == pytest.approx(2 * 0.5 / 3)


def test_neighbours_count_by_their_hop_and_where_both_are_seen():
    truth, seen = still(frames=1, rows=1, columns=5), torch.ones(1, 1, 1, 5)
    tracks = truth.clone()
    tracks[0, 0, 0, 0, 0] = 0.4  # one point off: a pair of 4 at hop 1, of 3 at hop 2, of 1 at hop 4
    by_hop = (0.4 / 4 + 0.5 * 0.4 / 3 + 0.25 * 0.4 / 1) / 1.75
    assert spatial_consistency(tracks, truth, seen).item() == pytest.approx(by_hop)
    seen[0, 0, 0, 4] = 0  # the pair at hop 4 goes, and one that was right at hops 1 and 2
    assert spatial_consistency(tracks, truth, seen).item() == pytest.approx((0.4 / 3 + 0.5 * 0.4 / 2) / 1.75)


def test_horizontal_and_vertical_pairs_count_alike():
    truth = still(frames=1, rows=2, columns=2)
    tracks = truth.clone()
    tracks[0, 0, 1, 0, 0] = 0.6  # two of four pairs at hop 1; the others have no neighbours
    assert spatial_consistency(tracks, truth, all_seen(truth)).item() == pytest.approx(2 * 0.6 / 4 / 1.75)


def test_kl_is_a_mean_over_everything():
    mean, std = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.0])
    assert kl_to_normal(mean, std).item() == pytest.approx((0.5 + 0.5 * (4 - 1 - 2 * math.log(2))) / 2)

"""Training of ATM's track transformer (arXiv 2401.00025): squared error of tracks, and of masked image patches beside.

Tra-MoE's (arXiv 2411.14519) as well, with a small penalty on the logits of its gates.
"""

import torch
from torch import Tensor

from trajforecast_model.baselines.track_transformer import TrackTransformer
from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.baseline import BaselineStage


class ATMStage(BaselineStage):
    kind = "atm"

    def loss(
        self, model: TrackTransformer, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        images = signed_pixels(batch.images)
        tracks = self._drawn_tracks(batch, noise)  # [B, T, N, 2], 0 to 1
        text = self.text_encoder.to(tracks.device)(batch.instructions)
        threshold = torch.special.ndtri(torch.tensor(config.masked_patches))
        rows, columns = config.network.image_grid
        masked = noise.normal(rows * columns) < threshold.to(tracks.device)
        with noise.of_dropout():
            output = model(images, tracks[:, 0], text, masked)
        track_error = ((output.tracks.float() - tracks) ** 2).mean()
        image_error = ((output.patches.float() - model.patchify(images)) ** 2).mean()
        loss = config.track_weight * track_error + config.image_weight * image_error
        loss = loss + config.gate_weight * output.gate_size.float()
        return loss, {"track_error": track_error.detach(), "image_error": image_error.detach()}

    def _drawn_tracks(self, batch: Batch, noise: WindowNoise) -> Tensor:
        """[B, T, N, 2] tracks of N moving points, drawn with replacement; of any points where none moves.

        ATM trains on points that pass the protocol's filter, too: it prepares no others.
        """
        moving = batch.moving_points().flatten(1)
        candidates = torch.where(moving.any(1, keepdim=True), moving, True)
        uniform = torch.special.ndtr(noise.normal(self.config.network.num_points))  # [B, N] in (0, 1)
        order = candidates.cumsum(1)
        rank = (uniform * order[:, -1:]).floor().clamp(max=order[:, -1:] - 1) + 1
        chosen = torch.searchsorted(order.float(), rank)  # the first point of that rank
        tracks = batch.tracks.flatten(2, 3)  # [B, T, H * W, 2]
        index = chosen[:, None, :, None].expand(-1, tracks.shape[1], -1, 2)
        height, width = batch.images.shape[1:3]
        return tracks.gather(2, index) / tracks.new_tensor([width, height])

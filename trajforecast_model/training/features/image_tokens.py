"""Image tokens of a batch: computed in the step, or read from a cache that a frozen encoder filled before the first one."""

from torch import Tensor, nn

from trajforecast_model.networks.image_encoder import standardise
from trajforecast_model.training.batches import Batch


def image_tokens(batch: Batch, encoder: nn.Module) -> Tensor:
    """[B, M, D], those that came with the batch if any did."""
    if batch.image_tokens is not None:
        return batch.image_tokens.float()
    return encoder(standardise(batch.images, encoder.config.input_size))

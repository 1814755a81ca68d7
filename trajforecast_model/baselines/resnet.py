"""A ResNet-18-like encoder of an image to one vector (He et al. 2015), with group norm in place of batch norm.

Track2Act uses it so: averages of weights and small batches go badly with batch norm.
"""

from torch import Tensor, nn

_CHANNELS_A_GROUP = 16


class ResNet(nn.Module):
    def __init__(self, width: int = 64, blocks_a_stage: int = 2):
        """`width` is that of the first of four stages (64 in ResNet-18); the vector is 8 times as wide."""
        super().__init__()
        if width % _CHANNELS_A_GROUP:
            raise ValueError(f"resnet_width: got {width}, expected a multiple of {_CHANNELS_A_GROUP}")
        self.dim = 8 * width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False),
            _norm(width),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential()
        for stage in range(4):
            self.stages.append(_ResidualBlock(widths[stage], widths[stage + 1], stride=1 if stage == 0 else 2))
            self.stages.extend(_ResidualBlock(widths[stage + 1], widths[stage + 1]) for _ in range(blocks_a_stage - 1))

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, D]"""
        return self.stages(self.stem(images)).mean(dim=(2, 3))


class _ResidualBlock(nn.Module):
    def __init__(self, width_in: int, width_out: int, stride: int = 1):
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width_in, width_out, kernel_size=3, stride=stride, padding=1, bias=False),
            _norm(width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, kernel_size=3, padding=1, bias=False),
            _norm(width_out),
        )
        same = stride == 1 and width_in == width_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width_out, kernel_size=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.shortcut(x) + self.change(x))


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(width // _CHANNELS_A_GROUP, width)

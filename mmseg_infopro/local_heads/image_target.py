"""The image that local heads rebuild: the normalized one, in [0, 1] of the range that it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..upstream import FakeTensor

MEASURED = 'measured'
BYTES = (0.0, 255.0)
ImageRange = Sequence[float] | str | None

NUM_IMAGES = 64
"""So many images are measured in each process, the first ones of the training."""
OUTLIERS = 0.005
"""Share of a channel's pixels at either end that its range leaves out."""
NUM_PIXELS = 65536
"""So many pixels of a channel are looked at in each step, at even distances."""
NATURAL = ((0.0, 1.0), BYTES)
"""Ranges that stand for measured ones which fill a quarter of them."""
MIN_STD, MAX_SHARE = 1 / 128, 0.995
"""A target that varies less, or has more pixels at one end, teaches nothing."""
PATIENCE = 3
"""So many steps in a row may have such a target: a batch may show nothing but a night sky."""


class ImageTarget(nn.Module):
    """Undoes the data preprocessor's normalization, and scales the image to [0, 1].

    Args:
        image_mean: Per-channel mean that the data preprocessor subtracts.
        image_std: Per-channel standard deviation that the data preprocessor divides by.
        image_range: ``(low, high)`` of the images before the data preprocessor, 8-bit ones' if
            None; or ``'measured'``: of each channel, over the first images. What was measured is
            part of the state dict.
    """

    low: Tensor
    high: Tensor
    num_seen: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        image_range: ImageRange = None,
    ) -> None:
        super().__init__()
        check_image_range(image_range)
        if len(image_mean) != len(image_std):
            raise ValueError(
                f'image_mean and image_std must have one value per image channel, '
                f'got {len(image_mean)} and {len(image_std)}'
            )
        self.image_range = image_range
        self.is_measured = image_range == MEASURED
        self.seen = self.num_blank = 0
        self.varies = False
        shape = (1, -1, 1, 1)
        mean, std = torch.tensor(image_mean).view(shape), torch.tensor(image_std).view(shape)
        low, high = (0.0, 1.0) if isinstance(image_range, str) else image_range or BYTES
        self.register_buffer('mean', (mean - low) / (high - low), persistent=False)
        self.register_buffer('std', std / (high - low), persistent=False)
        if self.is_measured:
            self.register_buffer('low', torch.zeros_like(mean))
            self.register_buffer('high', torch.ones_like(mean))
            self.register_buffer('num_seen', torch.zeros((), dtype=torch.long))

    def forward(self, image: Tensor) -> Tensor:
        """Return the target in [0, 1] of a normalized image ``(B, C, H, W)``."""
        if self.is_measured and not self.seen:
            self.observe(image)
        target = image.detach() * self.std + self.mean
        if self.is_measured:
            low, high = natural_range(self.low, self.high)
            target = (target - low) / (high - low).clamp(min=torch.finfo(high.dtype).tiny)
        return target.clamp(0, 1)

    @torch.no_grad()
    def observe(self, image: Tensor) -> None:
        """Look at the images of a step: widen the range, and see whether they vary at all.

        Raises:
            ValueError: Several steps in a row had nothing to rebuild.
        """
        if self.is_measured and self.seen < NUM_IMAGES:
            self._widen(image * self.std + self.mean)
            self.seen += len(image)
            self.num_seen.fill_(self.seen)
        if not self.varies and not isinstance(image, FakeTensor):
            self._check(image)

    def _widen(self, raw: Tensor) -> None:
        pixels = raw.transpose(0, 1).flatten(1).float()
        pixels = pixels[:, :: max(1, pixels.shape[1] // NUM_PIXELS)]
        pixels = torch.where(pixels.isfinite(), pixels, torch.nan)
        shares = pixels.new_tensor([OUTLIERS, 1 - OUTLIERS])
        low, high = pixels.nanquantile(shares, dim=1).nan_to_num().view(2, 1, -1, 1, 1)
        if self.seen:
            low, high = torch.minimum(low, self.low), torch.maximum(high, self.high)
        all_reduce(low := low.contiguous(), 'min')
        all_reduce(high := high.contiguous(), 'max')
        self.low.copy_(low)
        self.high.copy_(high)

    def _check(self, image: Tensor) -> None:
        target = self(image)
        ends = max(float((target == end).float().mean()) for end in (0, 1))
        std = float(target.std(dim=(0, 2, 3)).max())
        blank = image.new_tensor(float(std < MIN_STD or ends > MAX_SHARE), dtype=torch.float32)
        all_reduce(blank, 'min')  # all processes go on, or none
        if not blank:
            self.varies = True
            return
        self.num_blank += 1
        message = (
            f'there is next to nothing to rebuild in the images: in [0, 1] of image_range='
            f'{self.image_range or BYTES} they have a mean of {float(target.mean()):.2g}, a '
            f'standard deviation of {std:.2g} and {ends:.1%} of their pixels at one end; set '
            "model.local.image_range to (low, high) of what the pipeline makes or to 'measured', "
            'and look at how it loads images (16-bit ones need color_type="unchanged")'
        )
        if self.num_blank >= PATIENCE:
            raise ValueError(message)
        MMLogger.get_current_instance().warning(message)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.seen = int(self.num_seen) if self.is_measured else 0


def natural_range(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range that images are made for, where what was measured is within one."""
    for least, most in NATURAL:
        fits = (low >= least) & (high <= most) & (high > least + (most - least) / 4)
        low, high = torch.where(fits, least, low), torch.where(fits, most, high)
    return low, high


def check_image_range(image_range: Any, name: str = 'image_range') -> None:
    """Check a setting.

    Raises:
        ValueError: It is neither None nor ``'measured'`` nor two numbers in order.
    """
    if image_range is None or image_range == MEASURED:
        return
    is_pair = isinstance(image_range, Sequence) and not isinstance(image_range, str)
    numbers = is_pair and all(isinstance(x, (int, float)) for x in image_range)
    if not numbers or len(image_range) != 2 or not image_range[0] < image_range[1]:
        raise ValueError(
            f"{name} must be (low, high), '{MEASURED}' or None for 8-bit images, "
            f'got {image_range!r}'
        )

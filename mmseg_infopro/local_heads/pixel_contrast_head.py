"""InfoPro's contrastive form, on pixels: features of one class attract, of two classes repel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType, OptMultiConfig, SampleList
from torch import Tensor, nn

from .border import concatenate, total_channels
from .pixel_sampling import labels_at, sample_pixels


@MODELS.register_module()
class PixelContrastHead(BaseModule):
    """Supervised contrastive loss over a class-balanced sample of a border feature's pixels.

    The labels are subsampled to the feature's size. ``num_samples`` pixels are drawn without
    replacement, each class being equally likely per draw as long as it has pixels left; ignored
    pixels are never used. The loss is the contrastive term of https://arxiv.org/abs/2101.10832,
    equation 8, in the form of https://arxiv.org/abs/2004.11362: anchors without positives
    contribute 0.

    Args:
        in_channels: Channels of the border feature, or of each of its features.
        num_classes: Number of classes in the labels.
        channels: Dimension of the L2-normalized projection.
        num_samples: Pixels drawn from the whole batch.
        temperature: Divides the cosine similarities.
        ignore_index: Label of pixels to leave out.
        norm_cfg: Norm layer of the projection.
        loss_weight: The weight of this head's loss.
        init_cfg: As in mmengine.
    """

    loss_name = 'loss_contrast'

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        channels: int = 128,
        num_samples: int = 1024,
        temperature: float = 0.07,
        ignore_index: int = 255,
        norm_cfg: OptConfigType = None,
        loss_weight: float = 1.0,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        if num_samples < 2:
            raise ValueError(f'num_samples must be at least 2, got {num_samples}')
        self.num_classes = num_classes
        self.num_samples = num_samples
        self.temperature = temperature
        self.ignore_index = ignore_index
        self.loss_weight = loss_weight
        in_channels = total_channels(in_channels)
        self.hidden = ConvModule(in_channels, in_channels, 1, norm_cfg=norm_cfg)
        self.project = nn.Conv2d(in_channels, channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return unit-length embeddings, ``(B, channels, H, W)``, of the border feature."""
        return F.normalize(self.project(self.hidden(concatenate(inputs))).float(), dim=1)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: SampleList, train_cfg: dict
    ) -> dict[str, Tensor]:
        """Contrast the sampled pixels of the batch."""
        embeddings = self(inputs)
        labels = labels_at(embeddings.shape[2:], data_samples)
        embeddings, labels = embeddings.permute(0, 2, 3, 1).flatten(0, 2), labels.flatten()
        sampled = self.sample(labels)
        # In half precision the sums over many positives would overflow.
        with torch.autocast(embeddings.device.type, enabled=False):
            loss = supervised_contrastive_loss(
                embeddings[sampled],
                labels[sampled],
                labels[sampled] != self.ignore_index,
                self.temperature,
            )
        return {self.loss_name: self.loss_weight * loss}

    def sample(self, labels: Tensor) -> Tensor:
        """Draw the indices of at most ``num_samples`` of ``labels`` ``(N,)``, classes balanced."""
        return sample_pixels(labels, self.num_samples, self.num_classes, self.ignore_index)


def supervised_contrastive_loss(
    embeddings: Tensor, labels: Tensor, valid: Tensor, temperature: float
) -> Tensor:
    """Mean over the valid anchors of the supervised contrastive loss.

    Args:
        embeddings: Unit-length, ``(N, D)``.
        labels: ``(N,)``.
        valid: Which of them count at all, ``(N,)``.
        temperature: Divides the cosine similarities.
    """
    similarity = embeddings @ embeddings.T / temperature
    others = valid[None, :] & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    # Not -inf: an anchor without others would have NaN gradients.
    lowest = torch.finfo(similarity.dtype).min
    log_partition = similarity.masked_fill(~others, lowest).logsumexp(dim=1, keepdim=True)
    positives = others & (labels[:, None] == labels[None, :]) & valid[:, None]
    log_prob = torch.where(positives, similarity - log_partition, 0.0)
    per_anchor = -log_prob.sum(dim=1) / positives.sum(dim=1).clamp(min=1)
    return per_anchor.sum() / valid.sum().clamp(min=1)

"""Pictures for people: what a model predicts, and what its local heads see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..segmentors import InfoProEncoderDecoder
from ..upstream import swaps_channels

IGNORED_COLOUR = (0, 0, 0)


@dataclass(frozen=True)
class Example:
    """One row of a comparison.

    Attributes:
        image: RGB, ``(H, W, 3)``, uint8.
        label: Class ids, ``(H, W)``; ids without a colour are ignored ones.
        prediction: Class ids, ``(H, W)``.
        reconstruction: RGB in [0, 1], ``(h, w, 3)``.
    """

    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    reconstruction: np.ndarray


@torch.no_grad()
def make_example(model: InfoProEncoderDecoder, sample: dict[str, Any]) -> Example:
    """Predict one sample, and rebuild its image from the first local module's output.

    Args:
        model: In eval mode, with a ``ReconstructionHead`` at its first boundary.
        sample: What a test data set yields: ``inputs`` as loaded (BGR), and ``data_samples``.

    Raises:
        ValueError: The model has no local module, or no head that rebuilds the image.
    """
    heads = model.border_heads(0) if model.boundaries else []
    head = next((head for head in heads if hasattr(head, 'reconstruct')), None)
    if head is None:
        raise ValueError('the model has no ReconstructionHead at a boundary to draw')
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    data = model.data_preprocessor(batch, False)
    border = model.border_features(data['inputs'], 0)
    rebuilt = head.reconstruct(border, data['inputs'].shape[2:])[0].cpu()
    if not swaps_channels(model.data_preprocessor):
        rebuilt = rebuilt.flip(0)
    (result,) = model.predict(**data)
    return Example(
        image=sample['inputs'].flip(0).permute(1, 2, 0).numpy().astype(np.uint8),
        label=sample['data_samples'].gt_sem_seg.data[0].cpu().numpy(),
        prediction=result.pred_sem_seg.data[0].cpu().numpy(),
        reconstruction=rebuilt.permute(1, 2, 0).numpy(),
    )


def colour_labels(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Paint class ids ``(H, W)`` in the colours of a palette; others stay black."""
    colours = np.tile(np.array(IGNORED_COLOUR, dtype=np.uint8), (256, 1))
    colours[: len(palette)] = palette
    return colours[label]


def comparison_figure(
    examples: Sequence[Example],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    boundary: str,
) -> Figure:
    """Draw image, ground truth, prediction and reconstruction of each example in a row.

    Args:
        examples: At least one.
        classes: Names for the legend.
        palette: Their colours, 0 to 255.
        boundary: Where the reconstruction head sits, for its title.
    """
    titles = ('image', 'ground truth', 'prediction', f'seen by the head at {boundary}')
    height, width = examples[0].image.shape[:2]
    row_height = 3.4 * height / width
    figure = Figure(figsize=(13.6, row_height * len(examples) + 1.0), layout='constrained')
    axes = figure.subplots(len(examples), len(titles), squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        label = colour_labels(example.label, palette)
        prediction = colour_labels(example.prediction, palette)
        panels = (example.image, label, prediction, example.reconstruction)
        for axis, panel in zip(row, panels, strict=True):
            axis.imshow(panel)
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    patches = [
        Patch(color=(red / 255, green / 255, blue / 255), label=name)
        for name, (red, green, blue) in zip(classes, palette, strict=True)
    ]
    figure.legend(handles=patches, loc='outside lower center', ncols=10, fontsize=8, frameon=False)
    return figure

"""Pictures for people: what a model predicts, and what its local heads see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from ..upstream import swaps_channels

IGNORED_COLOUR = (0, 0, 0)


@dataclass(frozen=True)
class Example:
    """One row of a comparison.

    Attributes:
        image: RGB, ``(H, W, 3)``, uint8.
        label: Class ids, ``(H, W)``; ids without a colour are ignored ones.
        prediction: Class ids, ``(H, W)``.
        reconstructions: By boundary, what the head there rebuilds: RGB in [0, 1], ``(h, w, 3)``.
        beside: Predictions of other networks by their names, each ``(H, W)``.
    """

    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    reconstructions: Mapping[str, np.ndarray]
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)


@torch.no_grad()
def make_example(model: Any, sample: Mapping[str, Any]) -> Example:
    """Predict one sample, and rebuild its image from what each local module puts out.

    Args:
        model: A segmentor in eval mode; those without local modules rebuild nothing.
        sample: What a test data set yields: ``inputs`` as loaded (BGR), and ``data_samples``. Of
            images with more channels the first three are shown.
    """
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    data = model.data_preprocessor(batch, False)
    rebuilt = {
        boundary: _rebuild(model, index, data['inputs'])
        for index, boundary in enumerate(getattr(model, 'boundaries', ()))
    }
    (result,) = model.predict(**data)
    return Example(
        image=sample['inputs'][:3].flip(0).permute(1, 2, 0).numpy().astype(np.uint8),
        label=sample['data_samples'].gt_sem_seg.data[0].cpu().numpy(),
        prediction=result.pred_sem_seg.data[0].cpu().numpy(),
        reconstructions={name: image for name, image in rebuilt.items() if image is not None},
    )


def _rebuild(model: Any, index: int, image: Tensor) -> np.ndarray | None:
    """Return what the head at the end of a module rebuilds, if one does."""
    heads = [head for head in model.border_heads(index) if hasattr(head, 'reconstruct')]
    if not heads:
        return None
    features = model.border_features(image, index)
    rebuilt = heads[0].reconstruct(features, image.shape[2:])[0, :3].cpu()
    if not swaps_channels(model.data_preprocessor):
        rebuilt = rebuilt.flip(0)
    return rebuilt.permute(1, 2, 0).float().numpy()


def colour_labels(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Paint class ids ``(H, W)`` in the colours of a palette; others stay black."""
    colours = np.tile(np.array(IGNORED_COLOUR, dtype=np.uint8), (256, 1))
    colours[: len(palette)] = palette
    return colours[np.where(label < len(colours), label, -1)]


def comparison_figure(
    examples: Sequence[Example],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    prediction: str = 'prediction',
) -> Figure:
    """Draw image, ground truth, predictions and reconstructions of each example in a row.

    Args:
        examples: At least one.
        classes: Names for the legend.
        palette: Their colours, 0 to 255.
        prediction: What the network's own prediction is called.
    """
    seen = [f'seen by the head at {boundary}' for boundary in examples[0].reconstructions]
    titles = ('image', 'ground truth', *examples[0].beside, prediction, *seen)
    height, width = examples[0].image.shape[:2]
    row_height = 3.4 * height / width
    size = (3.4 * len(titles), row_height * len(examples) + 1.0)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(len(examples), len(titles), squeeze=False)
    for row, example in zip(axes, examples, strict=True):
        label = colour_labels(example.label, palette)
        labels = (*example.beside.values(), example.prediction)
        predictions = (colour_labels(each, palette) for each in labels)
        panels = (example.image, label, *predictions, *example.reconstructions.values())
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


def as_image(figure: Figure) -> np.ndarray:
    """Draw a figure into RGB pixels, ``(H, W, 3)``, uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

"""Pictures of validation images while a run goes on."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from .pictures import as_image, comparison_figure, make_example


@HOOKS.register_module()
class PicturesHook(Hook):
    """Draws predictions, and what every module's reconstruction head rebuilds, at validations.

    The picture goes to all backends of the Runner's visualizer: files in ``vis_data/vis_image``,
    TensorBoard, Weights & Biases. Training goes on as it would have without it.

    Args:
        num_images: Of the validation set, evenly spaced.

    Raises:
        ValueError: ``num_images`` is not positive.
    """

    def __init__(self, num_images: int = 3) -> None:
        if num_images < 1:
            raise ValueError(f'num_images must be at least 1, got {num_images}')
        self.num_images = num_images

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Draw the images, in the main process."""
        if not is_main_process():
            return
        dataset = runner.val_dataloader.dataset
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        with torch.random.fork_rng():  # what a data pipeline draws
            examples = [
                make_example(model, dataset[index])
                for index in evenly_spaced(len(dataset), self.num_images)
            ]
        meta = dataset.metainfo
        figure = comparison_figure(examples, meta['classes'], meta['palette'])
        figure.set_dpi(80)
        runner.visualizer.add_image('validation', as_image(figure), step=runner.iter)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return the middles of ``count`` equal parts of ``range(length)``, each once."""
    return sorted({(2 * part + 1) * length // (2 * count) for part in range(count)})

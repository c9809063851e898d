"""Prediction in a pipeline: a process runs its own module, and the last one the heads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..local.carried import Carried
from ..local.prediction import head_inputs, predict_module
from .link import Link


def predict_part(model: Any, index: int, link: Link, data: Any) -> list[Any]:
    """Predict a batch as far as one module goes.

    mmseg's own code chooses the windows of an image, on every process, and the last one's makes the
    prediction of them.

    Args:
        model: A segmentor with local modules, in evaluation mode; only layers of this one are used.
        index: Of the module.
        link: To the processes before and behind; it has nothing else on its way.
        data: What the data loader yields, on all processes of the row the same.

    Returns:
        The samples, of the last module with their predictions.
    """
    run = _predict_tail if index == len(model.boundaries) else _predict_early
    return run(model, index, link, data)


def _predict_tail(model: Any, index: int, link: Link, data: Any) -> list[Any]:
    def extract_feat(window: Tensor, *_: Any) -> Any:
        carried = link.receive(Carried(window, window, []), model.backbone)
        return head_inputs(model, predict_module(model, index, carried))

    with _replaced(model, extract_feat=extract_feat):
        predicted: list[Any] = model.val_step(data)
    return predicted


def _predict_early(model: Any, index: int, link: Link, data: Any) -> list[Any]:
    def encode_decode(window: Tensor, *_: Any) -> Tensor:
        carried = Carried(window, window, [])
        if index:
            carried = link.receive(carried, model.backbone)
        link.send(predict_module(model, index, carried))
        return window.new_zeros(len(window), 0, *window.shape[2:])

    batch = model.data_preprocessor(data, False)
    samples: list[Any] = batch['data_samples']
    # Of no class: what sums up the windows has no numbers to keep.
    with _replaced(model, encode_decode=encode_decode, out_channels=0):
        model.inference(batch['inputs'], [sample.metainfo for sample in samples])
    return samples


@contextmanager
def _replaced(model: Any, **attributes: Any) -> Iterator[None]:
    """Context in which an instance has other attributes."""
    before = {name: vars(model)[name] for name in attributes if name in vars(model)}
    vars(model).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(model)[name]
        vars(model).update(before)

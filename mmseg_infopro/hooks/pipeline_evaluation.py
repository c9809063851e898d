"""Validations and tests of a pipeline, whose predictions are on the last process of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..parallel.module_parallel import ModuleParallel
from ..upstream import as_world, tree_map_only


class PipelineEvaluator:
    """A loop's evaluator, fed by the last process of each row.

    What its metrics have noted goes to the first process of the row, which with those of the other
    rows makes the metrics of it as in data parallelism: so the main process has them, and its log
    what they print.

    Args:
        evaluator: mmengine's.
        model: The pipeline.
    """

    def __init__(self, evaluator: Any, model: ModuleParallel) -> None:
        self._evaluator = evaluator
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._evaluator, name)

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Take predictions, where there are any."""
        if self._model.is_tail:
            self._evaluator.process(data_samples=data_samples, data_batch=data_batch)

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics (collective; all processes get them).

        Args:
            size: Of the whole data set.
        """
        link, metrics = self._model.link, self._evaluator.metrics
        own = [on_cpu(metric.results) for metric in metrics] if self._model.is_tail else None
        everyones = link.gather(own)
        for metric in metrics:
            metric.results.clear()
        found: dict[str, float] | None = None
        if everyones:
            for metric, results in zip(metrics, everyones[-1], strict=True):
                metric.results.extend(results)
            with as_world(self._model.replicas):
                found = self._evaluator.evaluate(size)
        shared: dict[str, float] = link.share(found)
        return shared


def spread_evaluation(loop: Any, model: ModuleParallel) -> None:
    """Let a validation or test loop evaluate a pipeline.

    Raises:
        ValueError: The processes of a row would load different images.
    """
    sampler, number = getattr(loop.dataloader, 'sampler', None), len(model.ranks)
    if getattr(sampler, 'processes_per_sample', 1) != number:
        raise ValueError(
            f'the {number} processes of a pipeline predict the same images: their dataloader needs '
            f"sampler=dict(type='RowSampler', processes_per_sample={number}), as tools/train.py "
            f'sets it for a DefaultSampler, got {type(sampler).__name__}'
        )
    if not isinstance(loop.evaluator, PipelineEvaluator):
        loop.evaluator = PipelineEvaluator(loop.evaluator, model)


def on_cpu(value: Any) -> Any:
    """Return a nest with its tensors on the CPU, cut off their graphs."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach().cpu(), value)

"""The parts that a Runner builds from a config: where each stands, and what builds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS, Registry
from mmseg.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    HOOKS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    MODEL_WRAPPERS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
)

from .pipelines import all_datasets, is_pipeline

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class Part:
    """A part of a config that becomes an object.

    Attributes:
        place: Where it stands, as ``train_dataloader.dataset.pipeline[3]``.
        cfg: Its configuration.
        registry: Of its type.
        given: Arguments that the Runner adds.
        extra: Keys that the Runner reads itself.
        default: The type without one; None if it needs one.
    """

    place: str
    cfg: Mapping[str, Any]
    registry: Registry
    given: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    default: str | None = None


def training_parts(cfg: Config) -> Iterator[Part]:
    """Yield what a training run builds besides the model."""
    yield from optimizer_parts(cfg)
    yield from data_parts(cfg, 'train')
    for split in ('train', 'val'):
        yield from loop_parts(cfg, split)
    yield from data_parts(cfg, 'val')
    yield from evaluator_parts(cfg, 'val')
    yield from run_parts(cfg)


def testing_parts(cfg: Config) -> Iterator[Part]:
    """Yield what an evaluation builds besides the model."""
    yield from data_parts(cfg, 'test')
    yield from loop_parts(cfg, 'test')
    yield from evaluator_parts(cfg, 'test')
    yield from run_parts(cfg)


def optimizer_parts(cfg: Config) -> Iterator[Part]:
    """Yield optimizers, what wraps them, and schedulers."""
    wrapper = cfg.get('optim_wrapper')
    if isinstance(wrapper, Mapping):
        several = {key: item for key, item in wrapper.items() if _has(item, 'optimizer')}
        for key, item in (several or {'': wrapper}).items():
            place = f'optim_wrapper.{key}' if key else 'optim_wrapper'
            extra = ('constructor', 'paramwise_cfg')
            yield Part(place, item, OPTIM_WRAPPERS, ('optimizer',), extra, default='OptimWrapper')
            if isinstance(item.get('optimizer'), Mapping):
                yield Part(f'{place}.optimizer', item['optimizer'], OPTIMIZERS, ('params',))
    for place, item in _each(cfg.get('param_scheduler'), 'param_scheduler'):
        given = ('optimizer', 'epoch_length')
        yield Part(place, item, PARAM_SCHEDULERS, given, ('convert_to_iter_based',))


def data_parts(cfg: Config, split: str) -> Iterator[Part]:
    """Yield data sets, their transforms, and samplers."""
    place = f'{split}_dataloader'
    loader = cfg.get(place)
    if not isinstance(loader, Mapping):
        return
    samplers = dict(sampler=('dataset', 'seed'), batch_sampler=('sampler', 'batch_size'))
    for key, added in samplers.items():
        if isinstance(loader.get(key), Mapping):
            yield Part(f'{place}.{key}', loader[key], DATA_SAMPLERS, added)
    if isinstance(loader.get('collate_fn'), Mapping):
        yield Part(f'{place}.collate_fn', loader['collate_fn'], FUNCTIONS, ('data_batch',))
    for where, dataset in all_datasets(loader.get('dataset'), f'{place}.dataset'):
        yield Part(where, dataset, DATASETS)
        for key, value in dataset.items():
            if is_pipeline(key, value):
                yield from transform_parts(value, f'{where}.{key}')


def transform_parts(pipeline: Sequence[Any], place: str) -> Iterator[Part]:
    """Yield the transforms of a pipeline, and those within others."""
    for index, item in enumerate(pipeline):
        where = f'{place}[{index}]'
        if isinstance(item, Mapping):
            yield Part(where, item, TRANSFORMS)
            inner = item.get('transforms')
            if isinstance(inner, (list, tuple)):
                yield from transform_parts(inner, f'{where}.transforms')
        elif isinstance(item, (list, tuple)):
            yield from transform_parts(item, where)


def loop_parts(cfg: Config, split: str) -> Iterator[Part]:
    """Yield a loop."""
    loop = cfg.get(f'{split}_cfg')
    if isinstance(loop, Mapping):
        given: tuple[str, ...] = ('runner', 'dataloader')
        default = 'EpochBasedTrainLoop' if loop.get('by_epoch', True) else 'IterBasedTrainLoop'
        if split != 'train':
            given, default = (*given, 'evaluator'), f'{split.capitalize()}Loop'
        yield Part(f'{split}_cfg', loop, LOOPS, given, ('by_epoch',), default)


def evaluator_parts(cfg: Config, split: str) -> Iterator[Part]:
    """Yield metrics, and what evaluates them."""
    place = f'{split}_evaluator'
    evaluator = cfg.get(place)
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        yield Part(place, evaluator, EVALUATOR, default='Evaluator')
        place, evaluator = f'{place}.metrics', evaluator['metrics']
    for where, item in _each(evaluator, place):
        yield Part(where, item, METRICS)


def run_parts(cfg: Config) -> Iterator[Part]:
    """Yield hooks, what logs and draws, and the wrapper of several processes."""
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if isinstance(hook, Mapping):
            yield Part(f'default_hooks.{name}', hook, HOOKS, extra=('priority',))
    for place, hook in _each(cfg.get('custom_hooks'), 'custom_hooks'):
        yield Part(place, hook, HOOKS, extra=('priority',))
    visualizer = cfg.get('visualizer')
    if isinstance(visualizer, Mapping):
        yield Part('visualizer', visualizer, VISUALIZERS, ('save_dir',), default='Visualizer')
        for place, item in _each(visualizer.get('vis_backends'), 'visualizer.vis_backends'):
            yield Part(place, item, VISBACKENDS, ('save_dir',))
    if isinstance(cfg.get('log_processor'), Mapping):
        yield Part('log_processor', cfg.log_processor, LOG_PROCESSORS, default='LogProcessor')
    if isinstance(cfg.get('model_wrapper_cfg'), Mapping):
        yield Part('model_wrapper_cfg', cfg.model_wrapper_cfg, MODEL_WRAPPERS, ('module',))


def _each(value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parts in one, in a list, or in lists by name."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield f'{place}[{index}]', item
    elif isinstance(value, Mapping) and 'type' not in value:
        for key, item in value.items():
            yield from _each(item, f'{place}.{key}')
    elif isinstance(value, Mapping):
        yield place, value


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and key in item

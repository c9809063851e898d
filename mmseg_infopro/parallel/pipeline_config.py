"""A config of a pipeline of local modules: what it must not hold, and what is changed in it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log

from ..config.walk import type_name, walk
from ..local.schedules import build_schedule
from ..local.settings import read_local_settings
from .pipeline_checks import (
    PIPELINE,
    check_accumulation,
    check_passes_spread,
    check_world,
    one_update,
)

SAMPLERS = ('InfiniteSampler', 'StreamSampler')
EVALUATION_SAMPLERS = ('DefaultSampler', 'RowSampler')
SCALED = ('AmpOptimWrapper', 'LocalAmpOptimWrapper')


def is_module_parallel(cfg: Config) -> bool:
    """Whether a config asks for one local module per process."""
    local = cfg.model.get('local') or {}
    return bool(local.get('placement') == 'pipeline')


def pipeline_wrapper(cfg: Config) -> dict[str, Any]:
    """Return the ``model_wrapper_cfg`` of a pipeline."""
    settings = read_local_settings(cfg.model.local)
    return dict(
        type='ModuleParallel',
        in_flight=settings.in_flight,
        border_dtype=settings.border_dtype,
        timeout=settings.process_timeout,
        staleness=settings.staleness,
        reuse=settings.reuse,
    )


def check_pipeline_config(cfg: Config) -> None:
    """Check a config before anything is planned (collective); one without a pipeline is as it is.

    Raises:
        ValueError: It cannot be spread over the processes of the job; all say the same.
    """
    _check_equal(cfg)
    if not is_module_parallel(cfg):
        return
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        raise ValueError(
            f'{PIPELINE} needs several processes, and --launcher none is one: start '
            'tools/dist_train.sh CONFIG PROCESSES --modules K, or torchrun with --launcher '
            'pytorch; --placement replicate trains on one'
        )
    settings = read_local_settings(cfg.model.local)
    num_modules = settings.num_modules
    if settings.boundaries is not None:
        num_modules = len(settings.boundaries) + 1
    if num_modules is not None:
        check_world(num_modules, get_world_size(), settings.staleness)
    if settings.boundaries and num_modules is not None:
        schedule = build_schedule(settings.schedule, settings.boundaries)
        for iteration in schedule.phases(num_modules).values():
            passes = schedule(iteration, num_modules)
            check_passes_spread(passes, num_modules, type(schedule).__name__)
    wrapper = cfg.get('optim_wrapper') or {}
    check_accumulation(settings.staleness, wrapper.get('accumulative_counts', 1))
    _check_update(cfg, settings.norm_per_module, settings.update_per_module)
    _check_loading(cfg)
    _check_validation(cfg)
    _check_pictures(cfg)


def _check_equal(cfg: Config) -> None:
    digest = blake2b(cfg.pretty_text.encode()).hexdigest()
    everyones = all_gather_object((digest, is_module_parallel(cfg)))
    other = next((r for r, (text, _) in enumerate(everyones) if text != everyones[0][0]), None)
    if other is not None and any(spread for _, spread in everyones):
        raise ValueError(
            f'all processes of a job must have the same config, and process {other} has another '
            'one than process 0: give all the same file, options and environment'
        )


def _check_update(cfg: Config, norm_per_module: bool, update_per_module: bool) -> None:
    wrapper = cfg.get('optim_wrapper') or {}
    scales = type_name(wrapper) in SCALED and wrapper.get('dtype') not in ('bfloat16', 'float32')
    needs_all = one_update(
        clips=bool(wrapper.get('clip_grad')) and not norm_per_module,
        scales=scales and not update_per_module,
    )
    if needs_all:
        raise ValueError(needs_all)
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        raise ValueError(
            'auto_scale_lr counts every process as one more batch, and those of a pipeline share '
            f'theirs: with {PIPELINE} set auto_scale_lr.enable=False and the learning rate itself'
        )


def _check_loading(cfg: Config) -> None:
    loader = cfg.get('train_dataloader') or {}
    sampler = type_name(loader.get('sampler') or {})
    if loader.get('batch_sampler') is not None or sampler not in SAMPLERS:
        raise ValueError(
            f'{PIPELINE} needs train_dataloader.sampler.type to be one of {", ".join(SAMPLERS)}, '
            'which can give the processes of a pipeline the same samples, without a '
            f'batch_sampler; got {sampler or None!r}'
        )


def _check_validation(cfg: Config) -> None:
    loader = cfg.get('val_dataloader')
    if not loader:
        return
    sampler, loop = type_name(loader.get('sampler') or {}), type_name(cfg.get('val_cfg') or {})
    if loader.get('batch_sampler') is not None or sampler not in EVALUATION_SAMPLERS:
        raise ValueError(
            f"{PIPELINE} needs val_dataloader.sampler.type='DefaultSampler', which can give the "
            'processes of a pipeline the same images, without a batch_sampler; got '
            f'{sampler or None!r}'
        )
    if loop not in ('None', 'ValLoop'):
        raise ValueError(
            f"{PIPELINE} needs val_cfg.type='ValLoop', whose evaluator it can feed from the "
            f'last process of a pipeline, got {loop!r}'
        )


def _check_pictures(cfg: Config) -> None:
    for _, hook in walk([cfg.get('default_hooks'), cfg.get('custom_hooks')]):
        kind = type_name(hook)
        if kind == 'PicturesHook' or (kind == 'SegVisualizationHook' and hook.get('draw')):
            name = 'PicturesHook (--pictures)' if kind == 'PicturesHook' else f'{kind}(draw=True)'
            raise ValueError(
                f'{name} draws predictions in the main process, which in a pipeline has the first '
                "local module only: leave it out, or set local.placement='replicate'"
            )


def _evaluation_loaders(cfg: Config) -> list[Any]:
    loaders = [cfg.get(f'{split}_dataloader') or {} for split in ('val', 'test')]
    return [loader for loader in loaders if loader.get('sampler')]


def load_same_samples(cfg: Config) -> None:
    """Let all processes of a pipeline load the same samples, in place.

    Args:
        cfg: Whose partition is resolved. What an earlier pipeline left in it, as in the config that
            a run has dumped, is taken back where this is none.
    """
    if not is_module_parallel(cfg):
        forget_pipeline(cfg)
        return
    loader = cfg.train_dataloader
    changed = []
    if type_name(loader.sampler) != 'StreamSampler':
        changed.append('StreamSampler')
        loader.sampler.type = 'StreamSampler'
    if type_name(loader.dataset) != 'SeededDataset':
        changed.append('SeededDataset')
        loader.dataset = ConfigDict(type='SeededDataset', dataset=loader.dataset)
    loader.sampler.processes_per_sample = len(cfg.model.local.boundaries) + 1
    for evaluated in _evaluation_loaders(cfg):
        if type_name(evaluated.sampler) in EVALUATION_SAMPLERS:
            evaluated.sampler.type = 'RowSampler'
            evaluated.sampler.processes_per_sample = loader.sampler.processes_per_sample
    if changed:
        print_log(
            f'the processes of a pipeline load the same samples, by {" and ".join(changed)}: '
            'what is augmented how depends on the seed and the place in the stream alone',
            logger='current',
        )


def forget_pipeline(cfg: Config) -> None:
    """Take out of a config, in place, what makes its runs pipelines, but for the placement."""
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    sampler.pop('processes_per_sample', None)
    for loader in _evaluation_loaders(cfg):
        if type_name(loader.sampler) == 'RowSampler':
            loader.sampler.type = 'DefaultSampler'
            loader.sampler.pop('processes_per_sample', None)
    if type_name(cfg.get('model_wrapper_cfg') or {}) == 'ModuleParallel':
        cfg.pop('model_wrapper_cfg')
    hooks = cfg.get('default_hooks') or {}
    if type_name(hooks.get('runtime_info') or {}) == 'PipelineInfoHook':
        hooks['runtime_info'] = dict(type='RuntimeInfoHook')

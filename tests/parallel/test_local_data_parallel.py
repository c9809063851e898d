"""Two gloo processes against one process on the joined batch."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmseg_infopro.parallel import LocalDataParallel
from tests.models import BN, GN, batch, build, gradients, model_config

PARTITIONS: dict[int, list[str]] = {1: [], 2: ['layer2.1']}
STEPS = 2


def model_of(num_modules: int, norm: dict[str, Any] = GN, **overrides: Any) -> Any:
    return build(
        model_config(local=dict(boundaries=PARTITIONS[num_modules]), norm=norm), **overrides
    )


def joined_batch(step: int) -> dict[str, Any]:
    """Four images: two for each process."""
    return batch(size=32, batch_size=4, seed=step)


def part(data: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {key: value[rows] for key, value in data.items()}


def train(model: nn.Module, batches: list[dict[str, Any]], accumulative_counts: int = 1) -> Any:
    """Return the gradients before each update, and the weights after the last."""
    inner = getattr(model, 'module', model)
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.05, momentum=0.9)
    optim_wrapper = OptimWrapper(optimizer, accumulative_counts=accumulative_counts)
    seen: list[dict[str, torch.Tensor]] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(gradients(inner)))
    logs = [model.train_step(data, optim_wrapper) for data in batches]
    return seen, deepcopy(inner.state_dict()), [sorted(log) for log in logs]


@cache
def train_alone(num_modules: int) -> Any:
    return train(model_of(num_modules), [joined_batch(step) for step in range(STEPS)])


def assert_close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-5, atol=1e-6, msg=name)


def work(rank: int, folder: Path) -> None:
    """Everything that needs two processes, once: starting them takes longer than training."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    results: dict[str, Any] = {}
    own = slice(2 * rank, 2 * rank + 2)
    with DefaultScope.overwrite_default_scope('mmseg'):
        for num_modules in PARTITIONS:
            # Other weights on the second process, to be replaced by the first one's.
            wrapper = LocalDataParallel(model_of(num_modules, seed=rank))
            batches = [part(joined_batch(step), own) for step in range(STEPS)]
            results[f'K={num_modules}'] = train(wrapper, batches)
            # Each half of the joined batch in two steps.
            wrapper = LocalDataParallel(model_of(num_modules, seed=rank))
            rows = [slice(own.start + i, own.start + i + 1) for i in range(2)]
            halves = [part(joined_batch(step), row) for step in range(STEPS) for row in rows]
            results[f'K={num_modules} accumulated'] = train(wrapper, halves, 2)
        reference = MMDistributedDataParallel(model_of(1, seed=rank), broadcast_buffers=False)
        results['mmengine'] = train(reference, [part(joined_batch(s), own) for s in range(STEPS)])
        results['forward'] = foreign_loop(
            LocalDataParallel(model_of(2)), part(joined_batch(0), own)
        )
        results['buffers'] = buffers_after_steps(own)
        results['frozen'] = frozen_module(own)
    torch.save(results, folder / f'{rank}.pth')
    dist.destroy_process_group()


def foreign_loop(wrapper: LocalDataParallel, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    """One backward pass through the wrapper's forward."""
    data = wrapper.module.data_preprocessor(data, True)
    loss, _ = wrapper.module.parse_losses(wrapper(**data, mode='loss'))
    loss.backward()
    return gradients(wrapper.module)


def buffers_after_steps(own: slice) -> list[dict[str, torch.Tensor]]:
    """Batch norm's buffers before and after the first process's replace them in a third step."""
    wrapper = LocalDataParallel(model_of(2, norm=BN))
    train(wrapper, [part(joined_batch(step), own) for step in range(STEPS)])
    before = {name: buffer.clone() for name, buffer in wrapper.module.named_buffers()}
    seen: dict[str, torch.Tensor] = {}
    wrapper.module.backbone.stem.register_forward_pre_hook(
        lambda *_: seen.update((k, v.clone()) for k, v in wrapper.module.named_buffers())
    )
    train(wrapper, [part(joined_batch(STEPS), own)])
    return [before, seen]


def frozen_module(own: slice) -> dict[str, torch.Tensor]:
    """The tail is all that trains."""
    model = model_of(2)
    for parameter in model.module_parameters(0).values():
        parameter.requires_grad_(False)
    wrapper = LocalDataParallel(model)
    data = wrapper.module.data_preprocessor(part(joined_batch(0), own), True)
    losses = model.module_losses(**data)
    wrapper.run_module(0, losses.__next__)
    loss, _ = model.parse_losses(wrapper.run_module(1, losses.__next__))
    loss.backward()
    return gradients(model)


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes computed."""
    folder = tmp_path_factory.mktemp('processes')
    mp.spawn(work, args=(folder,), nprocs=2)
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.mark.parametrize('num_modules', PARTITIONS)
@pytest.mark.parametrize('way', ['', ' accumulated'])
def test_two_processes_equal_one_on_the_joined_batch(
    both: list[dict[str, Any]], num_modules: int, way: str
) -> None:
    alone = train_alone(num_modules)
    for results in both:
        seen, weights, _ = results[f'K={num_modules}{way}']
        assert len(seen) == len(alone[0]) == STEPS
        for step, wanted in zip(seen, alone[0], strict=True):
            assert_close(step, wanted)
        assert_close(weights, alone[1])


def test_processes_hold_the_same_weights(both: list[dict[str, Any]]) -> None:
    for num_modules in PARTITIONS:
        first, second = (results[f'K={num_modules}'][1] for results in both)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_module_is_mmengines_wrapper(both: list[dict[str, Any]]) -> None:
    for results in both:
        ours, reference = results['K=1'], results['mmengine']
        assert all(torch.equal(ours[1][name], reference[1][name]) for name in reference[1])
        assert ours[2] == reference[2]


def test_forward_exchanges_gradients_for_other_loops(both: list[dict[str, Any]]) -> None:
    alone = train_alone(2)[0][0]
    for results in both:
        assert_close(results['forward'], alone)


def test_buffers_come_from_the_first_process(both: list[dict[str, Any]]) -> None:
    (first, _), (second, second_seen) = (results['buffers'] for results in both)
    name = 'backbone.layer4.1.bn2.running_mean'
    assert not torch.equal(first[name], second[name])
    assert all(torch.equal(second_seen[name], first[name]) for name in first)


def test_a_frozen_module_is_left_out(both: list[dict[str, Any]]) -> None:
    alone = train_alone(2)[0][0]
    tail = {name: alone[name] for name in model_of(2).module_parameters(1)}
    for results in both:
        assert_close(results['frozen'], tail)


def test_other_wrappers_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', warnings.append)
    for num_modules in PARTITIONS:
        model = model_of(num_modules)
        model(**model.data_preprocessor(part(joined_batch(0), slice(2)), True), mode='loss')
    (warning,) = warnings
    assert '2 local modules train through forward(mode="loss"), which saves no memory' in warning


@pytest.fixture
def single_process(tmp_path: Path) -> Any:
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_it_is_a_wrapper_as_any_other(single_process: None) -> None:
    model = model_of(2)
    wrapper = LocalDataParallel(model)
    assert is_model_wrapper(wrapper)
    assert wrapper.module is model
    assert list(wrapper.state_dict()) == [f'module.{name}' for name in model.state_dict()]
    assert list(wrapper.parameters()) == list(model.parameters())


def test_prediction_is_the_models(single_process: None) -> None:
    model = model_of(2)
    model.test_cfg = ConfigDict(mode='whole')
    wrapper = LocalDataParallel(model).eval()
    with torch.no_grad():
        wanted, *others = (
            step(batch(size=32, batch_size=1))[0].seg_logits.data
            for step in (model.val_step, wrapper.val_step, wrapper.test_step)
        )
    assert all(torch.equal(logits, wanted) for logits in others)


def test_models_without_local_modules_are_refused() -> None:
    with pytest.raises(TypeError, match='local modules, got EncoderDecoder; use MMDistributed'):
        LocalDataParallel(build(model_config()))

"""Two gloo processes against one process on the joined batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.nn.utils import clip_grad_norm_

from mmseg_infopro.local.clock import at_iteration
from mmseg_infopro.parallel import LocalDataParallel
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import BN, GN, HEADS, batch, build, gradients, model_config
from tests.parallel.processes import run_processes

PARTITIONS: dict[int, list[str]] = {
    1: [],
    2: ['layer2.1'],
    4: ['stem', 'layer2.0', 'layer4.0'],
}
SCHEDULES: dict[str, dict[str, Any]] = {
    'Local': dict(type='Local'),
    'Overlapping': dict(type='Overlapping'),
    'PeriodicGlobal': dict(type='PeriodicGlobal', period=2),
    'Sequential': dict(type='Sequential', shares=[1, 1, 1, 0], max_iters=3),
}
STEPS = 3
MAX_NORM = 0.1  # less than any gradient's


@dataclass(frozen=True)
class Case:
    """A way to train that must come to the same as one process on the joined batch."""

    num_modules: int
    accumulative_counts: int = 1
    bucket_cap_mb: float = 25
    scales_loss: bool = False
    frozen: int | None = None
    clips: bool = False
    schedule: str = 'Local'
    has_context: bool = False

    def model(self, seed: int = 0) -> Any:
        context = dict(type='ContextSupply') if self.has_context else None
        schedule = SCHEDULES[self.schedule]
        model = model_of(self.num_modules, seed=seed, schedule=schedule, context=context)
        if self.frozen is not None:
            for parameter in model.module_parameters(self.frozen).values():
                parameter.requires_grad_(False)
        return model


CASES = {
    **{f'K={k}': Case(k) for k in PARTITIONS},
    **{f'K={k}, accumulation': Case(k, accumulative_counts=2) for k in PARTITIONS},
    'several buckets': Case(2, bucket_cap_mb=0.01, accumulative_counts=2),
    'clipping': Case(4, clips=True),
    'loss scaling': Case(4, scales_loss=True),
    'frozen first module': Case(4, frozen=0),
    'frozen tail': Case(4, frozen=3, accumulative_counts=2),
    'contexts': Case(4, has_context=True),
    **{f'K=4, {name}': Case(4, schedule=name) for name in SCHEDULES if name != 'Local'},
}


class ScalingOptimWrapper(CpuAmpOptimWrapper):
    """Scales losses without the rounding of mixed precision."""

    optim_context = OptimWrapper.optim_context


def model_of(
    num_modules: int,
    norm: dict[str, Any] = GN,
    seed: int = 0,
    schedule: Any = None,
    context: Any = None,
) -> Any:
    local = dict(
        boundaries=PARTITIONS[num_modules],
        schedule=schedule or SCHEDULES['Local'],
        context=context,
    )
    return build(model_config(local=local, norm=norm), seed)


def joined_batch(step: int) -> dict[str, Any]:
    """Four images: two for each process."""
    return batch(size=32, batch_size=4, seed=step)


def part(data: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {key: value[rows] for key, value in data.items()}


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(
    wrapper: Any,
    batches: list[dict[str, Any]],
    optim_wrapper_type: type[OptimWrapper] = OptimWrapper,
    **kwargs: Any,
) -> Any:
    """Return the gradients of each update, the last weights and the names in the logs."""
    model, optimizer = wrapper.module, sgd(wrapper.module)
    optim_wrapper = optim_wrapper_type(optimizer=optimizer, **kwargs)
    seen: list[dict[str, torch.Tensor]] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(gradients(model)))
    logs = []
    for step, data in enumerate(batches):
        with at_iteration(step // kwargs.get('accumulative_counts', 1)):
            logs.append(sorted(wrapper.train_step(data, optim_wrapper)))
    return seen, deepcopy(model.state_dict()), logs


@cache
def train_by_hand(
    num_modules: int, frozen: int | None = None, clips: bool = False, has_context: bool = False
) -> Any:
    """Return the gradients of each update, and the last weights, of a plain loop."""
    model = Case(num_modules, frozen=frozen, has_context=has_context).model()
    optimizer = sgd(model)
    seen: list[dict[str, torch.Tensor]] = []
    for step in range(STEPS):
        data = model.data_preprocessor(joined_batch(step), True)
        optimizer.zero_grad()
        model.parse_losses(model(**data, mode='loss'))[0].backward()
        if clips:
            clip_grad_norm_(model.parameters(), MAX_NORM)
        seen.append(gradients(model))
        optimizer.step()
    return seen, model.state_dict()


def assert_close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=1e-6, msg=name)


def work(rank: int) -> dict[str, Any]:
    """Everything that needs two processes."""
    own = slice(2 * rank, 2 * rank + 2)
    results: dict[str, Any] = {name: train_case(case, own) for name, case in CASES.items()}
    reference = MMDistributedDataParallel(model_of(1, seed=rank), broadcast_buffers=False)
    results['mmengine'] = train(reference, [part(joined_batch(s), own) for s in range(STEPS)])
    results['forward'] = foreign_loop(LocalDataParallel(model_of(2)), part(joined_batch(0), own))
    results['buffers'] = buffers_after_steps(own)
    results['strengths'] = strengths_of_balanced_heads(own)
    return results


def train_case(case: Case, own: slice) -> Any:
    # Other weights on the second process, to be replaced by the first one's.
    wrapper = LocalDataParallel(case.model(seed=own.start), bucket_cap_mb=case.bucket_cap_mb)
    kwargs: dict[str, Any] = dict(accumulative_counts=case.accumulative_counts)
    if case.clips:
        kwargs |= dict(clip_grad=dict(max_norm=MAX_NORM))
    if case.scales_loss:
        kwargs |= dict(optim_wrapper_type=ScalingOptimWrapper, loss_scale=dict(init_scale=1024.0))
    size = 2 // case.accumulative_counts
    starts = range(own.start, own.stop, size)
    batches = [part(joined_batch(s), slice(i, i + size)) for s in range(STEPS) for i in starts]
    with averages() as sizes:
        return *train(wrapper, batches, **kwargs), sizes


def strengths_of_balanced_heads(own: slice) -> list[float]:
    """Return the strengths after a step on two processes, and those that each one has alone."""
    heads = [HEADS[0], dict(HEADS[1], loss_weight='balanced')]
    local = dict(boundaries=PARTITIONS[2], heads=heads)
    found = []
    for wrap in (LocalDataParallel, lambda model: model):
        wrapper = wrap(build(model_config(local=local, norm=GN)))
        model = getattr(wrapper, 'module', wrapper)
        if wrapper is model:  # as one process would measure it
            with mock.patch('mmseg_infopro.local_heads.balance.all_reduce'):
                wrapper.train_step(part(joined_batch(0), own), OptimWrapper(sgd(model)))
        else:
            wrapper.train_step(part(joined_batch(0), own), OptimWrapper(sgd(model)))
        found += [head.strength.norm.item() for head in model.local_heads['layer2-1']]
    return found


@contextmanager
def averages() -> Iterator[list[int]]:
    """Collect the size in bytes of all that is averaged."""
    all_reduce = dist.all_reduce
    sizes: list[int] = []

    def recorded(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get('async_op'):  # not what heads agree on in the first step
            sizes.append(tensor.nbytes)
        return all_reduce(tensor, *args, **kwargs)

    dist.all_reduce = recorded
    try:
        yield sizes
    finally:
        dist.all_reduce = all_reduce


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


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes computed."""
    return run_processes(tmp_path_factory.mktemp('processes'), work)


@pytest.mark.parametrize('name', CASES)
def test_two_processes_equal_one_on_the_joined_batch(both: list[dict[str, Any]], name: str) -> None:
    case = CASES[name]
    if case.schedule == 'Local':
        wanted_gradients, wanted_weights = train_by_hand(
            case.num_modules, case.frozen, case.clips, case.has_context
        )
    else:  # whose formula a single process is compared with elsewhere
        model = case.model()
        alone: Any = SimpleNamespace(module=model, train_step=model.train_step)
        wanted_gradients, wanted_weights, _ = train(alone, list(map(joined_batch, range(STEPS))))
    for results in both:
        seen, weights, *_ = results[name]
        for step, wanted in zip(seen, wanted_gradients, strict=True):
            assert_close(step, wanted)
        assert_close(weights, wanted_weights)


@pytest.mark.parametrize('name', CASES)
def test_processes_hold_the_same_weights(both: list[dict[str, Any]], name: str) -> None:
    first, second = (results[name][1] for results in both)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_buckets_are_of_the_size_asked_for(both: list[dict[str, Any]]) -> None:
    assert len(both[0]['K=2'][-1]) == 2 * STEPS
    sizes, largest = both[0]['several buckets'][-1], max(p.nbytes for p in model_of(2).parameters())
    assert len(sizes) > 6 * STEPS
    assert max(sizes) < max(largest, 0.01 * 2**20) + 1024  # what tells which are used


def test_strengths_of_balanced_heads_are_averaged(both: list[dict[str, Any]]) -> None:
    one, other = (results['strengths'] for results in both)
    assert one[:2] == other[:2]
    alone = [(a + b) / 2 for a, b in zip(one[2:], other[2:], strict=True)]
    assert one[:2] == pytest.approx(alone, rel=1e-5)
    assert one[2:] != other[2:]


def test_one_module_is_mmengines_wrapper(both: list[dict[str, Any]]) -> None:
    for results in both:
        ours, reference = results['K=1'], results['mmengine']
        assert all(torch.equal(ours[1][name], reference[1][name]) for name in reference[1])
        assert ours[2] == reference[2]


def test_forward_averages_gradients_for_other_loops(both: list[dict[str, Any]]) -> None:
    wanted = train_by_hand(2)[0][0]
    for results in both:
        assert_close(results['forward'], wanted)


def test_other_loops_average_once_a_backward_pass(single_process: None) -> None:
    wrapper = LocalDataParallel(model_of(2))
    data = wrapper.module.data_preprocessor(joined_batch(0), True)

    def loss() -> torch.Tensor:
        return wrapper.module.parse_losses(wrapper(**data, mode='loss'))[0]

    with averages() as sizes:
        (loss() + loss()).backward()
        assert len(sizes) == 2
        with wrapper.no_sync():
            kept = loss()
        kept.backward()
        assert len(sizes) == 2
        fault = wrapper.module.backbone.stem[0].weight.register_hook(lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loss().backward()
        fault.remove()
        sizes.clear()
        loss().backward()
        assert len(sizes) == 2
    assert not any(p._post_accumulate_grad_hooks for p in wrapper.parameters())


def test_buffers_come_from_the_first_process(both: list[dict[str, Any]]) -> None:
    (first, _), (second, second_seen) = (results['buffers'] for results in both)
    name = 'backbone.layer4.1.bn2.running_mean'
    assert not torch.equal(first[name], second[name])
    assert all(torch.equal(second_seen[name], first[name]) for name in first)


def test_other_wrappers_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', warnings.append)
    for num_modules in PARTITIONS:
        model = model_of(num_modules)
        model(**model.data_preprocessor(part(joined_batch(0), slice(2)), True), mode='loss')
    told = [text for text in warnings if 'train through forward(mode="loss"), which saves' in text]
    assert [text.split()[0] for text in told] == ['2', '4']


def test_it_is_a_wrapper_as_any_other(single_process: None) -> None:
    model = model_of(2)
    wrapper = LocalDataParallel(model)
    assert is_model_wrapper(wrapper)
    assert wrapper.module is model
    assert list(wrapper.state_dict()) == [f'module.{name}' for name in model.state_dict()]
    assert list(wrapper.parameters()) == list(model.parameters())


def test_a_config_sets_its_arguments(single_process: None) -> None:
    cfg = dict(type='LocalDataParallel', bucket_cap_mb=0.01, broadcast_buffers=False)
    wrapper = MODEL_WRAPPERS.build(cfg, default_args=dict(module=model_of(2)))
    with averages() as sizes:
        train(wrapper, [joined_batch(0)])
    assert len(sizes) > 6


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

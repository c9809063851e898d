"""Updates per local module on several processes: averaged gradients, whose memory is released."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch.multiprocessing.reductions import StorageWeakRef

from mmseg_infopro.parallel import LocalDataParallel
from tests.models import GN, batch, build, gradients, model_config
from tests.parallel.processes import run_processes
from tests.parallel.test_overlap import RecordedWork

BOUNDARIES = ['stem', 'layer2.0', 'layer4.0']
NUM_STEPS = 3


def model_of(early: bool, boundaries: list[str] = BOUNDARIES) -> Any:
    return build(model_config(local=dict(boundaries=boundaries, update_per_module=early), norm=GN))


def sgd(model: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def four_images(step: int) -> dict[str, Any]:
    return batch(size=32, batch_size=4, seed=step)


def train(rank: int, early: bool, bucket_cap_mb: float) -> dict[str, Any]:
    """Return the weights, what earlier gradients' buckets weigh in the tail, and the gradients."""
    wrapper = LocalDataParallel(model_of(early), bucket_cap_mb=bucket_cap_mb)
    buckets: list[tuple[StorageWeakRef, int]] = []
    all_reduce = dist.all_reduce
    sizes: list[int] = []

    def watched(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        storage = tensor.untyped_storage()
        buckets.append((StorageWeakRef(storage), storage.nbytes()))
        return all_reduce(tensor, *args, **kwargs)

    def weigh(*_: Any) -> None:
        deadline = time.monotonic() + 5 * early
        while (alive := sum(n for b, n in buckets if not b.expired())) and (
            time.monotonic() < deadline  # gloo's thread lets go a little after it has reported
        ):
            time.sleep(0.001)
        sizes.append(alive)

    watch = wrapper.module.decode_head.conv_seg.register_forward_pre_hook(weigh)
    optim_wrapper = OptimWrapper(sgd(wrapper.module))
    dist.all_reduce = watched
    try:
        for step in range(NUM_STEPS):
            buckets.clear()
            own = {key: v[2 * rank : 2 * rank + 2] for key, v in four_images(step).items()}
            wrapper.train_step(own, optim_wrapper)
    finally:
        dist.all_reduce = all_reduce
    watch.remove()
    weights = deepcopy(wrapper.module.state_dict())
    data = wrapper.module.data_preprocessor(own, True)
    wrapper.module.parse_losses(wrapper(**data, mode='loss'))[0].backward()
    return dict(weights=weights, sizes=sizes, foreign=gradients(wrapper.module))


def work(rank: int) -> dict[str, Any]:
    """Everything that needs two processes."""
    return {
        f'{early} {cap}': train(rank, early, cap) for early in (False, True) for cap in (25, 0.01)
    }


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes computed."""
    return run_processes(tmp_path_factory.mktemp('processes'), work)


@pytest.mark.parametrize('cap', [25, 0.01])
def test_the_weights_are_those_of_one_update(both: list[dict[str, Any]], cap: float) -> None:
    for results in both:
        together, early = results[f'False {cap}'], results[f'True {cap}']
        for kind in ('weights', 'foreign'):
            assert together[kind].keys() == early[kind].keys()
            assert all(torch.equal(early[kind][name], v) for name, v in together[kind].items())


def test_two_processes_are_one_on_the_joined_batch(both: list[dict[str, Any]]) -> None:
    model = model_of(False)
    optimizer = sgd(model)
    for step in range(NUM_STEPS):
        optimizer.zero_grad()
        losses = model(**model.data_preprocessor(four_images(step), True), mode='loss')
        model.parse_losses(losses)[0].backward()
        optimizer.step()
    for results in both:
        for name, wanted in model.state_dict().items():
            actual = results['True 25']['weights'][name]
            torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize('cap', [25, 0.01])
def test_no_earlier_modules_gradients_take_memory(both: list[dict[str, Any]], cap: float) -> None:
    model = model_of(False)
    parameters = [p for i in range(len(BOUNDARIES)) for p in model.module_parameters(i).values()]
    for results in both:
        # One number for each parameter tells whether it is used.
        size = sum(p.nbytes + p.itemsize for p in parameters)
        assert results[f'False {cap}']['sizes'] == NUM_STEPS * [size]
        assert results[f'True {cap}']['sizes'] == NUM_STEPS * [0]


def test_averages_are_waited_for_before_each_update(
    single_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = LocalDataParallel(model_of(True, ['layer2.1']))
    events: list[str] = []
    all_reduce, step = dist.all_reduce, torch.optim.SGD.step

    def recorded(*args: Any, **kwargs: Any) -> RecordedWork:
        events.append('start')
        return RecordedWork(all_reduce(*args, **kwargs), events)

    def update(*args: Any) -> Any:
        events.append('update')
        return step(*args)

    optim_wrapper = OptimWrapper(sgd(wrapper.module))
    monkeypatch.setattr(dist, 'all_reduce', recorded)
    monkeypatch.setattr(torch.optim.SGD, 'step', update)
    layers = (wrapper.module.backbone.stem, wrapper.module.backbone.layer3[0])
    for number, first in enumerate(layers):
        first.register_forward_pre_hook(lambda *_, i=number: events.append(f'module {i}'))
    wrapper.train_step(batch(size=32), optim_wrapper)
    wanted = 'module 0, start, wait, update, module 1, start, wait, update'
    assert ', '.join(events) == wanted


def test_a_failed_step_does_not_spoil_the_next(single_process: None) -> None:
    results = []
    for fails in (False, True):
        wrapper = LocalDataParallel(model_of(True, ['layer2.1']))
        optim_wrapper = OptimWrapper(torch.optim.SGD(wrapper.module.parameters(), lr=0.0))
        wrapper.train_step(batch(size=32), optim_wrapper)
        if fails:
            head = wrapper.module.decode_head.conv_seg
            fault = head.register_forward_pre_hook(lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                wrapper.train_step(batch(size=32), optim_wrapper)
            fault.remove()
        optim_wrapper.zero_grad = lambda **_: None
        wrapper.train_step(batch(size=32, seed=1), optim_wrapper)
        results.append(gradients(wrapper.module))
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(results[1][name], value) for name, value in results[0].items())

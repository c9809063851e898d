"""Gradients are averaged while later modules run, and are there before they are used."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.optim import OptimWrapper

from mmseg_infopro.local.step import local_train_step
from mmseg_infopro.parallel import LocalDataParallel
from mmseg_infopro.parallel.average import GradientAverage
from tests.models import GN, batch, build, model_config
from tests.parallel.processes import run_processes

BOUNDARIES = ['layer2.1']
TIMEOUT = 20  # seconds; only a failure waits for it
CONTROL_TIMEOUT = 1


def two_modules(frozen: int | None = None) -> Any:
    model = build(model_config(local=dict(boundaries=BOUNDARIES), norm=GN))
    if frozen is not None:
        for parameter in model.module_parameters(frozen).values():
            parameter.requires_grad_(False)
    return model


class RecordedWork:
    """What an asynchronous all-reduce returns; tells when it is waited for."""

    def __init__(self, work: dist.Work, events: list[str]) -> None:
        self._work, self._events = work, events

    def wait(self) -> bool:
        self._events.append('wait')
        return self._work.wait()


def record(wrapper: LocalDataParallel, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """Return an optimizer wrapper, and the list that gets the events of each step."""
    events: list[str] = []
    all_reduce, model = dist.all_reduce, wrapper.module

    def recorded(*args: Any, **kwargs: Any) -> RecordedWork:
        events.append('start')
        return RecordedWork(all_reduce(*args, **kwargs), events)

    monkeypatch.setattr(dist, 'all_reduce', recorded)
    for number, first in enumerate((model.backbone.stem, model.backbone.layer3[0])):
        first.register_forward_pre_hook(lambda *_, i=number: events.append(f'module {i}'))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: events.append('update'))
    optim_wrapper = OptimWrapper(optimizer, accumulative_counts=2, clip_grad=dict(max_norm=1.0))
    monkeypatch.setattr(optim_wrapper, 'clip_func', lambda *_, **__: events.append('clip'))
    return optim_wrapper, events


@pytest.mark.parametrize(
    ('frozen', 'wanted'),
    [
        (None, 'module 0, start, module 1, start, wait, wait, clip, update'),
        (0, 'module 0, module 1, start, wait, clip, update'),
        (1, 'module 0, start, module 1, wait, clip, update'),
    ],
)
def test_averages_are_waited_for_before_clipping(
    single_process: None, monkeypatch: pytest.MonkeyPatch, frozen: int | None, wanted: str
) -> None:
    wrapper = LocalDataParallel(two_modules(frozen))
    optim_wrapper, events = record(wrapper, monkeypatch)
    for _ in range(2):
        wrapper.train_step(batch(size=32), optim_wrapper)
        assert events == ['module 0', 'module 1']  # gradients accumulate
        events.clear()
        wrapper.train_step(batch(size=32), optim_wrapper)
        assert ', '.join(events) == wanted
        events.clear()


def test_a_failed_step_leaves_nothing_to_wait_for(
    single_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = LocalDataParallel(two_modules())
    optim_wrapper, events = record(wrapper, monkeypatch)
    optim_wrapper._accumulative_counts = 1
    fault = wrapper.module.decode_head.conv_seg.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wrapper.train_step(batch(size=32), optim_wrapper)
    fault.remove()
    events.clear()
    wrapper.train_step(batch(size=32), optim_wrapper)
    assert events.count('wait') == 2


def hold_back(rank: int, module_1_begins: Any, in_background: bool) -> dict[str, Any]:
    """The second process joins module 0's average once the first one has begun module 1."""
    wrapper = LocalDataParallel(two_modules())
    results: dict[str, Any] = {}
    all_reduce = dist.all_reduce
    works: list[dist.Work] = []

    def held_back(*args: Any, **kwargs: Any) -> dist.Work | None:
        if not kwargs.get('async_op'):  # what heads agree on in the first step
            return all_reduce(*args, **kwargs)
        if rank == 1 and not works:
            timeout = TIMEOUT if in_background else CONTROL_TIMEOUT
            results['overlapped'] = module_1_begins.wait(timeout)
        works.append(all_reduce(*args, **kwargs))
        return works[-1]

    def begin(*_: Any) -> None:
        if rank == 0:
            # Not is_completed(): gloo sets that only after the future that backward waits for.
            results['finished'] = works[0].get_future().done()
            module_1_begins.set()

    wrapper.module.backbone.layer3[0].register_forward_pre_hook(begin)
    dist.all_reduce = held_back
    try:
        step(wrapper, in_background)
    finally:
        dist.all_reduce = all_reduce
    return results


def step(wrapper: LocalDataParallel, in_background: bool) -> None:
    """One training step, or one whose averages are waited for at once."""
    optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.1)
    if in_background:
        wrapper.train_step(batch(size=32), OptimWrapper(optimizer))
    else:
        impatient = Impatient([wrapper.module.module_parameters(index) for index in range(2)])
        local_train_step(wrapper.module, batch(size=32), OptimWrapper(optimizer), impatient)


class Impatient(GradientAverage):
    """Waits for the averages at the end of each backward pass."""

    @contextmanager
    def averaging(self, modules: Collection[int]) -> Iterator[None]:
        with super().averaging(modules):
            yield
        self.finish()


def both_ways(rank: int, *module_1_begins: Any) -> dict[str, Any]:
    return {
        name: hold_back(rank, event, in_background=name == 'train_step')
        for name, event in zip(('train_step', 'impatient'), module_1_begins, strict=True)
    }


def test_module_1_begins_while_module_0_is_averaged(tmp_path: Path) -> None:
    events = [mp.get_context('spawn').Event() for _ in range(2)]
    first, second = run_processes(tmp_path, both_ways, *events)
    assert second['train_step']['overlapped'], f'module 1 did not begin within {TIMEOUT} s'
    assert not first['train_step']['finished']
    # This test can fail.
    assert not second['impatient']['overlapped']
    assert first['impatient']['finished']

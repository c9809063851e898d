"""The average of gradients, driven by hand: every gradient is a number that two processes scale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from mmseg_infopro.hooks import FirstStepCheckHook
from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.parallel import LocalDataParallel
from mmseg_infopro.parallel.average import GradientAverage
from mmseg_infopro.parallel.buckets import split, views
from tests.hooks.test_first_step_check_hook import add_unused
from tests.hooks.test_first_step_check_hook import train as train_with_hook
from tests.models import GN, batch, build, model_config
from tests.parallel.processes import run_processes

MEAN = 1.5  # of what the processes scale by: 1 and 2
Modules = list[dict[str, nn.Parameter]]


def modules_of(*names: str, dtypes: dict[str, torch.dtype] | None = None) -> Modules:
    """Make modules with a parameter for each letter; the n-th of all has n numbers."""
    letters = sorted(''.join(names))
    return [
        {
            n: nn.Parameter(torch.zeros(letters.index(n) + 1, dtype=(dtypes or {}).get(n)))
            for n in own
        }
        for own in names
    ]


def backward(rank: int, modules: Modules, **gradients: float) -> None:
    """One pass that gives the parameters these gradients, times the process's number from 1."""
    owned = {name: parameter for module in modules for name, parameter in module.items()}
    parts = [(g * (rank + 1) * owned[name]).sum().double() for name, g in gradients.items()]
    torch.stack(parts).sum().backward()


def gradients_of(modules: Modules) -> dict[str, Any]:
    """Return the one value of each gradient, and None where there is none."""
    return {
        name: None if p.grad is None else p.grad.unique().item()
        for module in modules
        for name, p in module.items()
    }


@contextmanager
def launches() -> Iterator[list[torch.Tensor]]:
    """Collect what is averaged."""
    launched: list[torch.Tensor] = []
    all_reduce = dist.all_reduce
    dist.all_reduce = lambda flat, **kwargs: (launched.append(flat), all_reduce(flat, **kwargs))[1]
    try:
        yield launched
    finally:
        dist.all_reduce = all_reduce


def overlapping(rank: int) -> Any:
    """Two passes hold module 1; `b` gets gradient in both, `c` in the first only."""
    modules = modules_of('a', 'bc', 'd')
    average = GradientAverage(modules)
    with average.averaging({0}):
        backward(rank, modules, a=1, b=2, c=4)
    with average.averaging({1, 2}):
        backward(rank, modules, b=8, d=16)
    average.finish([1])
    first = gradients_of(modules[1:2])
    average.finish()
    return first, gradients_of(modules)


def accumulated(rank: int) -> Any:
    """A step that is not averaged, one that is, and one more whose gradients come on top."""
    modules = modules_of('ab')
    average = GradientAverage(modules)
    backward(rank, modules, a=1, b=2)
    before = gradients_of(modules)
    for _ in range(2):
        with average.averaging([0]):
            backward(rank, modules, a=4)
        average.finish()
    return before, gradients_of(modules)


def unused(rank: int) -> Any:
    """The first process uses `a` and `d`, the second `b` and `d`, none `c`; two such steps."""
    modules = modules_of('abcd')
    average = GradientAverage(modules, max_bytes=1)  # a bucket for each
    with launches() as launched:
        for _ in range(2):
            for parameter in modules[0].values():
                parameter.grad = None
            with average.averaging([0]):
                backward(rank, modules, d=4, **({'a': 1} if rank == 0 else {'b': 1}))
            average.finish()
    return gradients_of(modules), [flat.numel() - 1 for flat in launched]


def frozen(rank: int) -> Any:
    """`b` freezes in mid-run, then all of module 0."""
    modules = modules_of('ab', 'c')
    average = GradientAverage(modules)
    results = []
    for number in range(3):
        for parameter in [p for module in modules for p in module.values()]:
            parameter.grad = None
        modules[0]['b'].requires_grad_(number < 1)
        modules[0]['a'].requires_grad_(number < 2)
        with launches() as launched, average.averaging([0, 1]):
            backward(rank, modules, a=1, b=2, c=4)
        average.finish()
        results.append((gradients_of(modules), len(launched)))
    return results


def of_mixed_types(rank: int) -> Any:
    modules = modules_of('abcd', dtypes=dict(b=torch.float64, d=torch.float64))
    average = GradientAverage(modules)
    with launches() as launched, average.averaging([0]):
        backward(rank, modules, a=1, b=2, c=4, d=8)
    average.finish()
    return gradients_of(modules), [(flat.dtype, flat.numel() - 2) for flat in launched]


def with_allowed_unused(rank: int) -> Any:
    """Three steps of a model with a parameter that none uses, after a check that allows it."""
    model = LocalDataParallel(add_unused(build(model_config(local=dict(boundaries=['layer2.1'])))))
    train_with_hook(model, FirstStepCheckHook(['decode_head.unused']), steps=3)
    return model.module.decode_head.unused.grad, dict(model.module.named_parameters())


def of_another_partition(rank: int) -> str:
    boundary = 'layer2.1' if rank else 'layer3.0'
    with pytest.raises(ValueError, match='same model') as error:
        LocalDataParallel(build(model_config(local=dict(boundaries=[boundary]))))
    return str(error.value)


WORKS = (overlapping, accumulated, unused, frozen, of_mixed_types)
MODEL_WORKS = (with_allowed_unused, of_another_partition)


def work(rank: int) -> dict[str, Any]:
    """Everything that needs two processes."""
    return {function.__name__: function(rank) for function in WORKS + MODEL_WORKS}


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes computed."""
    return run_processes(tmp_path_factory.mktemp('processes'), work)


def test_a_module_in_several_passes_is_averaged_once(both: list[dict[str, Any]]) -> None:
    wanted = dict(a=1 * MEAN, b=10 * MEAN, c=4 * MEAN, d=16 * MEAN)
    for results in both:
        first, last = results['overlapping']
        assert first == dict(b=10 * MEAN, c=4 * MEAN)
        assert last == wanted


def test_accumulated_gradients_are_averaged_with_the_last(both: list[dict[str, Any]]) -> None:
    for rank, results in enumerate(both):
        before, after = results['accumulated']
        assert before == dict(a=rank + 1, b=2 * (rank + 1))
        assert after == dict(a=9 * MEAN, b=2 * MEAN)


def test_unused_parameters_count_as_zero_or_have_no_gradient(both: list[dict[str, Any]]) -> None:
    for results in both:
        assert results['unused'][0] == dict(a=0.5, b=1.0, c=None, d=4 * MEAN)


def test_the_order_does_not_depend_on_what_is_used(both: list[dict[str, Any]]) -> None:
    for results in both:
        assert results['unused'][1] == [4, 3, 2, 1] * 2


def test_parameters_may_freeze_in_mid_run(both: list[dict[str, Any]]) -> None:
    a, b, c = MEAN, 2 * MEAN, 4 * MEAN
    for results in both:
        assert results['frozen'] == [
            (dict(a=a, b=b, c=c), 2),
            (dict(a=a, b=None, c=c), 2),
            (dict(a=None, b=None, c=c), 1),
        ]


def test_a_bucket_has_one_dtype(both: list[dict[str, Any]]) -> None:
    for results in both:
        values, launched = results['of_mixed_types']
        assert values == dict(a=MEAN, b=2 * MEAN, c=4 * MEAN, d=8 * MEAN)
        assert launched == [(torch.float64, 6), (torch.float32, 4)]


def test_what_the_first_check_allows_trains_on(both: list[dict[str, Any]]) -> None:
    (gradient, first), (_, second) = (results['with_allowed_unused'] for results in both)
    assert gradient is None
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_models_on_other_processes_are_refused(both: list[dict[str, Any]]) -> None:
    assert all('process 1 has other' in results['of_another_partition'] for results in both)


def test_gradient_during_the_average_is_refused(single_process: None) -> None:
    modules = modules_of('a')
    average = GradientAverage(modules)
    with average.averaging([0]):
        backward(0, modules, a=1)
    with pytest.raises(RuntimeError, match='a of local module 0 got gradient while its average'):
        backward(0, modules, a=1)
    average.finish()
    backward(0, modules, a=1)
    assert not modules[0]['a']._post_accumulate_grad_hooks


def test_a_pass_that_fails_leaves_nothing(single_process: None) -> None:
    modules = modules_of('ab')
    average = GradientAverage(modules)
    with pytest.raises(ZeroDivisionError), average.averaging([0]):
        raise ZeroDivisionError
    assert not any(p._post_accumulate_grad_hooks for p in modules[0].values())


def test_gradients_are_all_that_holds_a_bucket(single_process: None) -> None:
    modules = modules_of('ab')
    average = GradientAverage(modules)
    with launches() as launched, average.averaging([0]):
        backward(0, modules, a=1, b=1)
    average.finish()
    bucket = StorageWeakRef(launched.pop().untyped_storage())
    modules[0]['a'].grad = None
    assert not bucket.expired()
    modules[0]['b'].grad = None
    assert bucket.expired()


@pytest.mark.parametrize('early', [False, True])
def test_the_peak_is_that_of_one_process_and_a_bucket(single_process: None, early: bool) -> None:
    local = dict(boundaries=['stem', 'layer2.0'], update_per_module=early)
    peaks = []
    for wrap in (lambda model: model, lambda model: LocalDataParallel(model, bucket_cap_mb=0.01)):
        model = build(model_config(local=local, norm=GN))
        largest = max(p.nbytes for p in model.parameters())
        model = wrap(model)
        optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        step = partial(model.train_step, batch(size=32), optim_wrapper)
        peaks.append(peak_beyond(step, [*model.parameters(), *model.buffers()]))
    assert peaks[1] - peaks[0] <= max(largest, 0.01 * 2**20) + 1024


def test_parts_become_ready_in_their_order() -> None:
    sizes = [(2, torch.half), (3, torch.float), (2, torch.half), (1, torch.half), (1, torch.float)]
    tensors = [torch.zeros(size, dtype=dtype) for size, dtype in sizes]
    parts = split(tensors, max_bytes=8)
    numbers = [[next(i for i, t in enumerate(tensors) if t is o) for o in part] for part in parts]
    assert numbers == [[1], [0, 2], [3], [4]]


def test_views_keep_the_memory_format() -> None:
    weight = torch.zeros(4, 3, 2, 2).to(memory_format=torch.channels_last)
    strided = torch.zeros(4, 4)[:, ::2]
    first, second = views(torch.arange(56.0), [weight, strided])
    assert first.stride() == weight.stride()
    assert second.is_contiguous()
    assert sorted([*first.flatten().tolist(), *second.flatten().tolist()]) == list(range(56))

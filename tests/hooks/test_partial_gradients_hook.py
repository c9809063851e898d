import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmseg_infopro.hooks import PartialGradientsHook
from mmseg_infopro.parallel import LocalDataParallel
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.hooks.test_exact_resume import assert_equal
from tests.models import GN, batch, build, gradients, model_config

BuildRunner = Callable[..., Runner]


def accumulating(counts: int, max_iters: int = 6, interval: int = 3, **wrapper: Any) -> Any:
    """Parts of a Runner's config."""
    sgd = dict(type='SGD', lr=0.1, momentum=0.9)
    return dict(
        optim_wrapper=dict(optimizer=sgd, accumulative_counts=counts, **wrapper),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=100),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=interval)
        ),
        custom_hooks=[dict(type='RNGStateHook'), dict(type='PartialGradientsHook')],
    )


def assert_same_end(left: Path, right: Path) -> None:
    ends = [check_checkpoint(path, for_resume=True) for path in (left, right)]
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'rng_state'):
        assert_equal(ends[0][part], ends[1][part])


# In the last case the accumulation is the shorter one that ends a run.
@pytest.mark.parametrize(('counts', 'interval'), [(2, 3), (4, 3), (4, 5)])
@pytest.mark.parametrize(
    'wrapper',
    [
        dict(clip_grad=dict(max_norm=0.01)),
        dict(type=CpuAmpOptimWrapper.__name__, loss_scale=dict(growth_interval=1)),
    ],
)
def test_resumed_training_is_bit_identical(
    build_runner: BuildRunner, tmp_path: Path, counts: int, interval: int, wrapper: dict[str, Any]
) -> None:
    parts = accumulating(counts, interval=interval, **wrapper)
    build_runner(tmp_path / 'straight', **parts).train()
    middle = str(tmp_path / f'straight/iter_{interval}.pth')
    assert 'partial_gradients' in check_checkpoint(middle, for_resume=True)
    build_runner(tmp_path / 'resumed', load_from=middle, resume=True, **parts).train()
    assert_same_end(tmp_path / 'straight/iter_6.pth', tmp_path / 'resumed/iter_6.pth')


def test_a_run_may_be_made_longer_in_the_accumulation_that_was_to_end_it(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    short, long = (
        dict(accumulating(4, max_iters, interval=5), randomness=dict(seed=1))
        for max_iters in (6, 8)
    )
    build_runner(tmp_path / 'straight', **long).train()
    build_runner(tmp_path / 'short', **short).train()
    middle = str(tmp_path / 'short/iter_5.pth')
    build_runner(tmp_path / 'resumed', load_from=middle, resume=True, **long).train()
    assert_same_end(tmp_path / 'straight/iter_8.pth', tmp_path / 'resumed/iter_8.pth')


@pytest.mark.parametrize('counts', [1, 3, 4])
def test_nothing_is_written_if_nothing_waits(
    build_runner: BuildRunner, tmp_path: Path, counts: int
) -> None:
    build_runner(tmp_path, **accumulating(counts)).train()
    written = {
        path.name: 'partial_gradients' in check_checkpoint(path, for_resume=True)
        for path in tmp_path.glob('iter_*.pth')
    }
    assert written == {'iter_3.pth': counts == 4, 'iter_6.pth': False}


def runner_of(model: nn.Module, counts: int = 2) -> Any:
    """The parts of a Runner that the hook reads."""
    inner = getattr(model, 'module', model)
    return SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(
            torch.optim.SGD(inner.parameters(), lr=0.1), accumulative_counts=counts
        ),
        iter=0,
        max_iters=10,
        hooks=[CheckpointHook(by_epoch=False, interval=3)],
        logger=logging.getLogger('partial_gradients_hook'),
    )


def train(runner: Any, hook: PartialGradientsHook, batches: list[Any]) -> None:
    for data in batches:
        runner.model.train_step(data, runner.optim_wrapper)
        hook.after_train_iter(runner)
        runner.iter += 1


def save(runner: Any, hook: PartialGradientsHook) -> dict[str, Any]:
    checkpoint: dict[str, Any] = dict(meta=dict(iter=runner.iter), optimizer={})
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint


def resume(runner: Any, checkpoint: dict[str, Any], iteration: int = 3) -> None:
    hook = PartialGradientsHook()
    runner.iter = runner.optim_wrapper._inner_count = iteration
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_train(runner)


class Line(nn.Module):
    """Loss: the sum of the data times the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> None:
        optim_wrapper.update_params((self.weight * data).sum())


def saved_line(counts: int = 2) -> dict[str, Any]:
    """Three steps, of which one or, with 4 counts, all wait."""
    runner, hook = runner_of(Line(), counts), PartialGradientsHook()
    train(runner, hook, [torch.tensor([1.0, 2.0])] * 3)
    return save(runner, hook)


def test_the_gradients_are_those_of_the_steps_that_wait() -> None:
    partial = saved_line(4)['partial_gradients']
    torch.testing.assert_close(partial['gradients']['weight'], torch.tensor([0.75, 1.5]))


def test_loading_weights_restores_no_gradients() -> None:
    runner = runner_of(Line())
    resume(runner, saved_line(), iteration=0)
    assert runner.model.weight.grad is None


def test_checkpoints_without_optimizer_need_no_gradients() -> None:
    runner, hook = runner_of(Line()), PartialGradientsHook()
    train(runner, hook, [torch.ones(2)] * 3)
    checkpoint = dict(meta=dict(iter=3))
    hook.before_save_checkpoint(runner, checkpoint)
    assert list(checkpoint) == ['meta']


def test_another_number_of_steps_drops_them(caplog: pytest.LogCaptureFixture) -> None:
    runner = runner_of(Line(), counts=4)
    resume(runner, saved_line())
    assert 'saved with accumulative_counts=2' in caplog.text
    assert 'is resumed with 4: the gradients that waited for an update are dropped' in caplog.text
    assert runner.model.weight.grad is None


def test_gradients_of_frozen_parameters_are_refused() -> None:
    runner = runner_of(Line())
    runner.model.weight.requires_grad_(False)
    message = r'gradients of 1 parameter\(s\) that the model does not train, as weight'
    with pytest.raises(ValueError, match=message):
        resume(runner, saved_line())


def test_an_unannounced_save_of_many_processes_warns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmseg_infopro.hooks.partial_gradients_hook.get_world_size', lambda: 2)
    runner, hook = runner_of(Line()), PartialGradientsHook()
    train(runner, hook, [torch.ones(2)])
    assert 'partial_gradients' not in save(runner, hook)
    assert 'resuming from it loses them' in caplog.text


def stop_and_go(rank: int, folder: Path) -> None:
    """Four steps, and four with a stop after the third."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    batches: list[Any] = [batch(size=32, batch_size=1, seed=10 * rank + step) for step in range(4)]

    def start() -> Any:
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = build(model_config(local=dict(boundaries=['layer2.1']), norm=GN))
        return runner_of(LocalDataParallel(model))

    straight, hook = start(), PartialGradientsHook()
    train(straight, hook, batches[:3])
    if rank == 0:
        weights = straight.model.module.state_dict()
        torch.save([save(straight, hook), weights], folder / 'saved.pth')
    own = gradients(straight.model.module)
    train(straight, hook, batches[3:])
    dist.barrier()
    checkpoint, weights = torch.load(folder / 'saved.pth', weights_only=True)
    resumed = start()
    resumed.model.module.load_state_dict(weights)
    resume(resumed, checkpoint)
    restored = gradients(resumed.model.module)
    train(resumed, PartialGradientsHook(), batches[3:])
    ends = [runner.model.module.state_dict() for runner in (straight, resumed)]
    torch.save([own, restored, *ends], folder / f'{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Per process: own and restored gradients, weights after going on and after the resume."""
    folder = tmp_path_factory.mktemp('processes')
    mp.spawn(stop_and_go, args=(folder,), nprocs=2)
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


def test_each_process_resumes_from_the_average(two_processes: list[Any]) -> None:
    (own, restored, *_), (other, also_restored, *_) = two_processes
    assert restored.keys() == own.keys()
    for name, gradient in restored.items():
        torch.testing.assert_close(gradient, (own[name] + other[name]) / 2)
        assert torch.equal(gradient, also_restored[name])


def test_two_processes_go_on_as_if_not_stopped(two_processes: list[Any]) -> None:
    for *_, straight, resumed in two_processes:
        for name, value in straight.items():
            torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6)

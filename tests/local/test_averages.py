"""The exponential moving average of a model that trains in local modules."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import EMAHook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from tests.local.by_hand import (
    LR,
    MOMENTUM,
    SGD,
    STEPS,
    TWO,
    assert_close,
    loss_by_hand,
    model_of,
)
from tests.models import batch


def train_with_ema(model: Any, momentum: float) -> Any:
    """Return the averaged model of mmengine's hook."""
    hook = EMAHook(momentum=momentum)
    runner = SimpleNamespace(model=model, iter=0)
    hook.before_run(runner)
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(SGD)))
    for runner.iter in range(STEPS):
        model.train_step(batch(size=32, seed=runner.iter), optim_wrapper)
        hook.after_train_iter(runner, runner.iter)
    return hook.ema_model.module


def test_the_average_of_one_module_is_plain_mmsegs_bit_for_bit() -> None:
    ours, plain = (train_with_ema(model_of(local), 0.3) for local in (dict(num_modules=1), None))
    assert_close(ours, plain, rtol=0, atol=0)


def test_the_average_is_over_the_weights_of_all_modules() -> None:
    model = model_of(TWO)
    twin, average = deepcopy(model), deepcopy(model)
    averaged = train_with_ema(model, 0.3)
    optimizer = torch.optim.SGD(twin.parameters(), LR, MOMENTUM, weight_decay=1e-3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_by_hand(twin, batch(size=32, seed=step)).backward()
        optimizer.step()
        weight = 0.3 if step else 1.0  # mmengine starts the average after the first step
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), twin.parameters(), strict=True):
                mean.mul_(1 - weight).add_(weight * parameter)
    for buffer, source in zip(average.buffers(), twin.buffers(), strict=True):
        buffer.copy_(source)
    assert_close(averaged, average)


class Batches(Dataset):
    """The same images in every run."""

    def __len__(self) -> int:
        return 2 * STEPS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: value[0] for key, value in batch(32, 1, seed=index).items()}


def ema_runner(work_dir: Path, **resume: Any) -> Runner:
    return Runner(
        model=model_of(TWO),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(Batches(), batch_size=2, collate_fn=pseudo_collate),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS),
        optim_wrapper=dict(optimizer=dict(SGD)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
        custom_hooks=[dict(type='EMAHook', momentum=0.3)],
        experiment_name=work_dir.name,
        log_level='ERROR',
        default_scope='mmseg',
        **resume,
    )


@pytest.fixture(scope='module')
def averaged_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Runner]:
    """A run that never stopped, and one that resumed half way."""
    folder = tmp_path_factory.mktemp('ema')
    middle = dict(load_from=str(folder / 'straight/iter_2.pth'), resume=True)
    runners = []
    with DefaultScope.overwrite_default_scope('mmseg'):
        for name, resume in (('straight', {}), ('resumed', middle)):
            runners.append(ema_runner(folder / name, **resume))
            runners[-1].train()
    return runners


def averaged_model(runner: Runner) -> Any:
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    return hook.ema_model.module.eval()


def test_an_average_resumes_bit_for_bit(averaged_runs: list[Runner]) -> None:
    straight, resumed = averaged_runs
    assert_close(averaged_model(resumed), averaged_model(straight), rtol=0, atol=0)
    assert_close(resumed.model, straight.model, rtol=0, atol=0)


def test_the_averaged_model_predicts_with_its_own_weights(averaged_runs: list[Runner]) -> None:
    image = torch.randn(1, 3, 32, 32)
    for runner in averaged_runs:
        saved = torch.load(Path(runner.work_dir, 'iter_4.pth'), weights_only=False)
        plain = model_of(None).eval()
        plain.load_state_dict(saved['state_dict'], strict=False)
        trained = deepcopy(runner.model).eval()
        assert torch.equal(averaged_model(runner)(image), plain(image))
        assert not torch.equal(trained(image), plain(image))

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import OPTIMIZERS
from torch.utils._pytree import tree_leaves

from mmseg_infopro.run.checkpoints import check_checkpoint

BuildRunner = Callable[..., Runner]


def assert_equal(left: Any, right: Any) -> None:
    """Compares nests of tensors bit for bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_equal(a, b)
    else:
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('val_interval', [3, 100])
def test_resumed_training_is_bit_identical(
    build_runner: BuildRunner, tmp_path: Path, num_workers: int, val_interval: int
) -> None:
    # No seed is configured, so that the resumed run must take it from the checkpoint.
    build_runner(tmp_path / 'straight', num_workers, val_interval).train()
    middle = str(tmp_path / 'straight' / 'iter_3.pth')
    build_runner(
        tmp_path / 'resumed', num_workers, val_interval, load_from=middle, resume=True
    ).train()
    straight = check_checkpoint(tmp_path / 'straight' / 'iter_6.pth', for_resume=True)
    resumed = check_checkpoint(tmp_path / 'resumed' / 'iter_6.pth', for_resume=True)
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'rng_state'):
        assert_equal(straight[part], resumed[part])


@pytest.mark.parametrize('name', ['SGD8bit', 'AdamW8bit', 'torchao_AdamW8bit'])
def test_optimizers_of_8_bits_resume_from_plain_tensors(
    build_runner: BuildRunner, tmp_path: Path, name: str
) -> None:
    if OPTIMIZERS.get(name) is None:
        pytest.skip("its package is no part of the tests' own: [eightbit]")
    optimizer = dict(type=name, lr=0.01, **(dict(momentum=0.9) if name == 'SGD8bit' else {}))
    run = partial(build_runner, optim_wrapper=dict(optimizer=optimizer))
    with torch.compiler.set_stance('force_eager'):  # torchao would compile each update
        run(tmp_path / 'straight').train()
        middle = str(tmp_path / 'straight' / 'iter_3.pth')
        run(tmp_path / 'resumed', load_from=middle, resume=True).train()
    straight, resumed = (
        check_checkpoint(tmp_path / folder / 'iter_6.pth', for_resume=True)
        for folder in ('straight', 'resumed')
    )
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(straight[part], resumed[part])
    found = {value.dtype for value in tree_leaves(straight['optimizer']) if torch.is_tensor(value)}
    assert torch.uint8 in found


def test_validation_and_workers_do_not_change_training(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    weights = []
    for num_workers, val_interval in ((0, 100), (1, 2)):
        runner = build_runner(
            tmp_path / str(num_workers), num_workers, val_interval, randomness=dict(seed=1)
        )
        weights.append(runner.train().state_dict())
    assert_equal(*weights)


def test_real_checkpoint_is_read_with_weights_only(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    runner = build_runner(tmp_path, val_interval=3)
    runner.train()
    checkpoint = check_checkpoint(tmp_path / 'iter_6.pth', for_resume=True)
    assert_equal(dict(checkpoint['state_dict']), dict(runner.model.state_dict()))
    assert checkpoint['message_hub']['log_scalars']['train/loss'].current() > 0


def test_best_checkpoint_cannot_be_resumed(build_runner: BuildRunner, tmp_path: Path) -> None:
    build_runner(tmp_path, val_interval=3).train()
    (best,) = tmp_path.glob('best_mIoU_*.pth')
    with pytest.raises(
        ValueError, match=r'cannot resume from .*best_mIoU.*: it holds no optimizer'
    ):
        check_checkpoint(best, for_resume=True)

import logging
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from mmengine.hooks import CheckpointHook

from mmseg_infopro.hooks.rng_state_hook import RNGStateHook, checkpoint_due, get_rng_state


def make_runner(finished: int, **checkpoint_hook: Any) -> Any:
    """The parts of a Runner that the hook reads, after `finished` iterations out of 10."""
    return SimpleNamespace(
        iter=finished,
        max_iters=10,
        hooks=[CheckpointHook(**{'by_epoch': False, **checkpoint_hook})],
        train_dataloader=SimpleNamespace(sampler=SimpleNamespace(seed=11 + finished)),
        logger=logging.getLogger('rng_state_hook'),
        seed=0,
        message_hub=SimpleNamespace(update_info=lambda key, value: None),
    )


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


def save(hook: RNGStateHook, iteration: int) -> dict[str, Any]:
    checkpoint: dict[str, Any] = dict(meta=dict(iter=iteration))
    hook.before_save_checkpoint(make_runner(iteration - 1), checkpoint)
    return checkpoint


def resume(checkpoint: dict[str, Any]) -> Any:
    hook, runner = RNGStateHook(), make_runner(4)
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_train(runner)
    hook.before_train_iter(runner)
    return runner


@pytest.mark.parametrize(
    'finished, settings, due',
    [
        (4, dict(interval=5), True),
        (3, dict(interval=5), False),
        (9, dict(interval=4), True),
        (9, dict(interval=4, save_last=False), False),
        (4, dict(interval=5, save_begin=7), False),
        (4, dict(interval=5, by_epoch=True), False),
    ],
)
def test_checkpoint_due(finished: int, settings: dict[str, Any], due: bool) -> None:
    assert checkpoint_due(make_runner(finished, **settings)) is due


def test_state_is_read_with_weights_only(tmp_path: Path) -> None:
    state = get_rng_state()
    torch.save(state, tmp_path / 'state.pth')
    loaded = torch.load(tmp_path / 'state.pth', weights_only=True)
    assert torch.equal(loaded.pop('torch'), state.pop('torch'))
    assert loaded == state


def test_resume_restores_generators_and_sampler_seed() -> None:
    checkpoint = save(RNGStateHook(), 4)
    expected = draw()
    assert resume(checkpoint).train_dataloader.sampler.seed == 14
    assert draw() == expected


def test_gaussian_that_numpy_keeps_for_later_is_restored() -> None:
    np.random.randn()
    checkpoint = save(RNGStateHook(), 4)
    expected = np.random.randn()
    resume(checkpoint)
    assert np.random.randn() == expected


def test_validation_leaves_the_generators_alone() -> None:
    hook, runner = RNGStateHook(), make_runner(4)
    before = get_rng_state()
    hook.before_val(runner)
    draw()
    hook.after_val(runner)
    torch.testing.assert_close(get_rng_state()['torch'], before['torch'])
    assert random.getstate() == before['python']
    assert get_rng_state()['numpy'] == before['numpy']


def test_best_checkpoint_holds_the_states_before_validation() -> None:
    hook = RNGStateHook()
    before = random.getstate()
    hook.before_val(make_runner(4))
    draw()
    assert save(hook, 4)['rng_state']['ranks'][0]['python'] == before


def test_loading_weights_does_not_touch_the_generators() -> None:
    hook, runner = RNGStateHook(), make_runner(0)
    hook.after_load_checkpoint(runner, save(RNGStateHook(), 4))
    draw()
    before = random.getstate()
    hook.before_train(runner)
    assert (random.getstate(), runner.train_dataloader.sampler.seed) == (before, 11)


def test_checkpoint_without_states_warns(caplog: pytest.LogCaptureFixture) -> None:
    resume(dict(meta=dict(iter=4)))
    assert 'holds no random number generator states' in caplog.text


def test_other_number_of_processes_warns(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = save(RNGStateHook(), 4)
    checkpoint['rng_state']['ranks'] *= 3
    before = random.getstate()
    resume(checkpoint)
    assert 'was saved by 3 process(es), and 1 resume it' in caplog.text
    assert random.getstate() == before


def test_unannounced_save_of_many_processes_warns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmseg_infopro.hooks.rng_state_hook.get_world_size', lambda: 2)
    assert 'rng_state' not in save(RNGStateHook(), 4)
    assert 'resuming from it will not be exact' in caplog.text


def save_and_resume_one_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    random.seed(rank), np.random.seed(rank), torch.manual_seed(rank)
    hook = RNGStateHook()
    hook.after_train_iter(make_runner(3, interval=4))
    if rank == 0:
        torch.save(save(hook, 4), folder / 'checkpoint.pth')
    torch.distributed.barrier()
    expected = draw()
    resume(torch.load(folder / 'checkpoint.pth', weights_only=True))
    torch.save((expected, draw()), folder / f'drawn_{rank}.pth')
    torch.distributed.destroy_process_group()


def test_each_of_two_processes_gets_its_own_states_back(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(save_and_resume_one_rank, (tmp_path,), nprocs=2)
    drawn = [torch.load(tmp_path / f'drawn_{rank}.pth', weights_only=True) for rank in (0, 1)]
    assert [before == after for before, after in drawn] == [True, True]
    assert drawn[0] != drawn[1]

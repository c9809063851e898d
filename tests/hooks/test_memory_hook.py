"""The cap and the peaks on a card that is made up; a real one where there is CUDA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_infopro.config.step import config_peak
from mmseg_infopro.hooks import MemoryHook, explained_out_of_memory
from mmseg_infopro.hooks import memory_hook as module
from mmseg_infopro.hooks.memory_hook import predict_peak
from tests.models import model_config

BuildRunner = Callable[..., Runner]
MIB, GIB = 2**20, 2**30


class Card:
    """A GPU of 24 GiB, whose peaks a test sets."""

    def __init__(self) -> None:
        self.fractions: list[tuple[float, int]] = []
        self.allocated = self.reserved = 0
        self.num_resets = 0

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 1

    def get_device_properties(self, device: int) -> Any:
        return SimpleNamespace(total_memory=24 * GIB)

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        self.fractions.append((fraction, device))

    def max_memory_allocated(self) -> int:
        return self.allocated

    def max_memory_reserved(self) -> int:
        return self.reserved

    def reset_peak_memory_stats(self) -> None:
        self.allocated = 0
        self.num_resets += 1


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    for name in (name for name in vars(Card) if not name.startswith('_')):
        monkeypatch.setattr(torch.cuda, name, getattr(card, name))
    return card


class Log:
    """The parts of a Runner that the hook uses."""

    def __init__(self) -> None:
        self.iter = 0
        self.cfg = Config()
        self.warnings: list[str] = []
        self.scalars: list[tuple[str, int]] = []
        self.logger = SimpleNamespace(warning=self.warnings.append)
        self.message_hub = SimpleNamespace(
            update_scalar=lambda *scalar: self.scalars.append(scalar)
        )


def train(hook: MemoryHook, card: Card, peaks: list[int]) -> Log:
    """Take one step per peak, in MiB."""
    log = Log()
    hook.before_run(log)
    hook.before_train(log)
    for peak in peaks:
        hook.before_train_iter(log)
        card.allocated = max(card.allocated, peak * MIB)
        card.reserved = max(card.reserved, 2 * peak * MIB)
        hook.after_train_iter(log)
        log.iter += 1
    return log


def test_the_allocator_gets_the_cap_without_the_margin(card: Card) -> None:
    MemoryHook(memory_cap='11GiB', margin='1GiB').before_run(Log())
    assert card.fractions == [(10 / 24, 1)]


def test_without_a_cap_nothing_is_limited(card: Card) -> None:
    MemoryHook().before_run(Log())
    assert card.fractions == []


def test_a_cap_above_the_card_is_what_the_card_has(card: Card) -> None:
    log = Log()
    MemoryHook(memory_cap='25GiB', margin='1GiB', predicted_bytes='23GiB').before_run(log)
    assert card.fractions == [(23 / 24, 1)]
    assert 'memory_cap=25.00 GiB is more than the card has: it is 24.00 GiB' in log.warnings[0]


def test_a_peak_above_the_card_is_refused(card: Card) -> None:
    with pytest.raises(ValueError, match=r'is above the 24.00 GiB of cuda:1, .* peak of 23.50 GiB'):
        MemoryHook('30GiB', margin='1GiB', predicted_bytes='23.5GiB').before_run(Log())


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        (dict(memory_cap='11 apples'), ValueError, 'a size must be'),
        (dict(memory_cap='1GiB', margin='1GiB'), ValueError, 'memory_cap must be above margin'),
        (dict(predicted_bytes=0), ValueError, 'predicted_bytes must be above 0, got 0'),
        (dict(interval=0), ValueError, 'interval must be at least 1, got 0'),
        (dict(interval='10'), TypeError, "interval must be a number of iterations, got '10'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MemoryHook(**settings)


def test_the_highest_peak_of_an_interval_is_logged(card: Card) -> None:
    log = train(MemoryHook(interval=3, predicted_bytes='1GiB'), card, [5, 9, 7, 1, 2])
    assert log.scalars == [('train/memory_reserved', 18)]


def test_a_peak_that_others_reset_is_not_lost(card: Card) -> None:
    hook, log = MemoryHook(interval=2, predicted_bytes=9 * MIB), Log()
    log = train(hook, card, [9, 9, 9])
    card.reset_peak_memory_stats()
    card.allocated = 2 * MIB
    hook.after_train_iter(log)
    assert hook._training.allocated == 9 * MIB


def test_peaks_are_reset_where_the_next_interval_begins(card: Card) -> None:
    hook = MemoryHook(interval=2, predicted_bytes='1GiB')
    log = train(hook, card, [9, 9])
    assert card.allocated == 9 * MIB  # for the LoggerHook
    hook.before_train_iter(log)
    assert card.allocated == 0


def test_validation_has_its_own_peak(card: Card) -> None:
    hook = MemoryHook(interval=2, predicted_bytes=4 * MIB)
    log = train(hook, card, [4, 4, 4])
    hook.before_val_epoch(log)
    for peak in (30, 20):
        card.allocated = peak * MIB
        hook.after_val_iter(log)
        card.reset_peak_memory_stats()
    hook.after_val_epoch(log, metrics={})
    hook.after_train_iter(log)
    assert log.scalars[1:] == [('val/memory_peak', 30), ('train/memory_reserved', 8)]
    assert log.warnings == []


@pytest.mark.parametrize(
    ('peaks', 'warning'),
    [
        ([900, 900, 100, 109], None),  # the first interval does not count
        ([100, 100, 91, 91], None),
        ([100, 100, 111, 100], r'111.00 MiB, predicted were 100.00 MiB (+11%)'),
        ([100, 100, 80, 80, 70, 70], r'80.00 MiB, predicted were 100.00 MiB (-20%)'),
    ],
)
def test_a_wrong_prediction_is_warned_of_once(
    card: Card, peaks: list[int], warning: str | None
) -> None:
    log = train(MemoryHook(interval=2, predicted_bytes='100MiB'), card, peaks)
    assert len(log.warnings) == (warning is not None)
    assert warning is None or warning in log.warnings[0]


def test_the_peak_is_predicted_once_before_training(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = iter([200 * MIB])
    monkeypatch.setattr(module, 'predict_peak', lambda cfg: next(predictions))
    log = train(MemoryHook(interval=1), card, [100, 100, 100])
    assert '200.00 MiB (-50%)' in log.warnings[0]


def test_a_config_that_allows_no_prediction_trains_all_the_same(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cfg: Config) -> int:
        raise ValueError('the config has no crop')

    monkeypatch.setattr(module, 'predict_peak', fail)
    log = train(MemoryHook(interval=1), card, [100, 100, 100])
    assert len(log.scalars) == 3
    (warning,) = log.warnings
    assert 'compares no peaks: the dry step of the config failed (the config has no' in warning


def small_config(norm: str) -> Config:
    return Config(
        dict(
            model=model_config(
                local=dict(boundaries=['layer2.0']), norm=dict(type=norm, requires_grad=True)
            ),
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        )
    )


def test_synchronized_batch_norm_is_predicted_as_batch_norm() -> None:
    cfg = small_config('SyncBN')
    assert predict_peak(cfg) == config_peak(small_config('BN')).total
    assert cfg.model.backbone.norm_cfg.type == 'SyncBN'


@pytest.mark.parametrize(('cap', 'num_warnings'), [('11GiB', 1), (None, 0)])
def test_without_cuda_only_a_cap_is_worth_a_word(
    monkeypatch: pytest.MonkeyPatch, cap: str | None, num_warnings: int
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    hook = MemoryHook(memory_cap=cap, interval=1)
    log = train(hook, Card(), [1, 1, 1])
    hook.before_val_epoch(log)
    hook.after_val_iter(log)
    hook.after_val_epoch(log)
    assert log.scalars == []
    assert len(log.warnings) == num_warnings
    assert all('11.00 GiB is not enforced: there is no CUDA' in text for text in log.warnings)


def allocating(card: Card, size: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        card.allocated = size
        return function(*args)

    return call


def test_the_log_shows_the_peaks(
    build_runner: BuildRunner, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # mmengine's own figure would need a real card.
    monkeypatch.setattr('mmengine.runner.log_processor.is_cuda_available', lambda: False)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        runner = build_runner(
            tmp_path,
            val_interval=4,
            log_level='INFO',
            default_hooks=dict(logger=dict(type='LoggerHook', interval=2), checkpoint=None),
            log_processor=dict(by_epoch=False),
            custom_hooks=[dict(type='MemoryHook', interval=2, predicted_bytes='1GiB')],
        )
    card.reserved = 77 * MIB
    runner.model.decode_head.predict = allocating(card, 55 * MIB, runner.model.decode_head.predict)
    runner.train()
    (log_file,) = tmp_path.glob('*/*.log')
    lines = log_file.read_text().splitlines()
    trained = [line for line in lines if 'Iter(train)' in line]
    validated = [line for line in lines if 'Iter(val)' in line and 'mIoU' in line]
    assert (len(trained), len(validated)) == (3, 2)
    assert all('memory_reserved: 77' in line for line in trained)
    assert all('memory_peak: 55' in line for line in validated)


CUDA_ERROR = (
    'CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 23.69 GiB'
)


def raise_out_of_memory(*args: Any, **kwargs: Any) -> None:
    raise torch.cuda.OutOfMemoryError(CUDA_ERROR)


def test_an_error_in_training_says_where_how_much_and_what_to_do(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    hook = dict(type='MemoryHook', memory_cap='11GiB')
    runner = build_runner(tmp_path, custom_hooks=[hook])
    object.__setattr__(runner.cfg, '_filename', 'configs/my.py')
    runner.model.decode_head.forward = raise_out_of_memory
    message = (
        r'^out of GPU memory in local module 1 of 0 ... 1, asking for 20.00 MiB; memory_cap is '
        r'11.00 GiB. For what fits, run: python tools/fit.py configs/my.py --cap 11.00GiB$'
    )
    with pytest.raises(MemoryError, match=message) as info, explained_out_of_memory(runner):
        runner.train()
    assert str(info.value.__cause__) == CUDA_ERROR


@pytest.fixture
def plain_runner() -> Any:
    """What is read of a Runner without the hook, of plain mmseg."""
    return SimpleNamespace(model=torch.nn.Identity(), hooks=[], cfg=Config())


def test_without_a_cap_the_limit_is_the_card(card: Card, plain_runner: Any) -> None:
    message = r'memory in a training step, asking for 20.00 MiB; the card has 24.00 GiB. .*fit.py'
    with pytest.raises(MemoryError, match=message), explained_out_of_memory(plain_runner):
        raise_out_of_memory()


def test_an_error_in_validation_has_other_advice(card: Card, plain_runner: Any) -> None:
    plain_runner.model.eval()
    message = 'out of GPU memory in prediction, .*chunked_argmax=True'
    with pytest.raises(MemoryError, match=message), explained_out_of_memory(plain_runner):
        raise_out_of_memory()


def test_a_library_beside_the_allocator_runs_out_of_memory_too(
    card: Card, plain_runner: Any
) -> None:
    message = 'out of GPU memory in a training step, asking for more; the card has 24.00 GiB'
    with pytest.raises(MemoryError, match=message), explained_out_of_memory(plain_runner):
        raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate')


def test_other_errors_pass(plain_runner: Any) -> None:
    with (
        pytest.raises(RuntimeError, match='shape mismatch'),
        explained_out_of_memory(plain_runner),
    ):
        raise RuntimeError('shape mismatch')


@pytest.mark.cuda
def test_a_real_card_refuses_what_is_beyond_the_cap(plain_runner: Any) -> None:
    plain_runner.hooks.append(MemoryHook(memory_cap='2GiB', margin='1GiB'))
    try:
        plain_runner.hooks[0].before_run(plain_runner)
        within = torch.empty(GIB // 2, dtype=torch.uint8, device='cuda')
        message = r'asking for 1.00 GiB; memory_cap is 2.00 GiB'
        with pytest.raises(MemoryError, match=message), explained_out_of_memory(plain_runner):
            torch.empty(GIB, dtype=torch.uint8, device='cuda')
        del within
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()

"""Levers on the optimizer: its averages in 8 bits, and its step in a loop."""

from __future__ import annotations

from typing import Any

import pytest

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.recipes import find_recipe
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local import eight_bit
from tests.config.test_localize import plain_config
from tests.models import HEADS


def with_optimizer(**optimizer: Any) -> Any:
    cfg = plain_config()
    cfg.optim_wrapper.optimizer = dict(lr=0.01, **optimizer)
    return cfg


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configs be made for packages that may not be there."""
    monkeypatch.setattr(eight_bit, 'find_spec', lambda package: package)


@pytest.mark.parametrize(
    ('optimizer', 'becomes'),
    [
        (dict(type='SGD', momentum=0.9, foreach=False), dict(type='SGD8bit', momentum=0.9)),
        (dict(type='AdamW', weight_decay=0.1), dict(type='AdamW8bit', weight_decay=0.1)),
        (dict(type='Adam', fused=True), dict(type='torchao_Adam8bit')),
    ],
)
@pytest.mark.parametrize('recipe', ['plain', 'lean'])
def test_an_optimizer_of_8_bits_takes_the_place(
    optimizer: dict[str, Any], becomes: dict[str, Any], recipe: str, installed: None
) -> None:
    cfg = localize(with_optimizer(**optimizer), 2, recipe=f'{recipe}+8-bit-optimizer')
    assert cfg.optim_wrapper.optimizer == dict(becomes, lr=0.01)
    assert cfg.model.local.get('recompute') == ('cheap' if recipe == 'lean' else None)
    again = localize(cfg, 3, recipe=f'{recipe}+8-bit-optimizer')
    assert again.optim_wrapper == cfg.optim_wrapper
    plain = localize(again, 2, recipe='plain')
    steps_in = {'foreach', 'fused'}  # other levers, which go as well
    kept = {key: value for key, value in optimizer.items() if key not in steps_in}
    assert plain.optim_wrapper.optimizer == dict(kept, lr=0.01)
    assert find_recipe(f'{recipe}+8-bit-optimizer').exact == 'in 8 bits'


@pytest.mark.parametrize('recipe', ['plain', 'lean+8-bit-optimizer'])
def test_one_of_8_bits_that_a_config_names_stays_as_it_is(recipe: str) -> None:
    pytest.importorskip('torchao')
    cfg = with_optimizer(type='torchao_AdamW8bit', block_size=512)
    assert localize(cfg, 2, recipe=recipe).optim_wrapper == cfg.optim_wrapper


def test_an_optimizer_that_replaced_one_of_8_bits_stays(installed: None) -> None:
    cfg = localize(with_optimizer(type='SGD', momentum=0.9), 2, recipe='free+8-bit-optimizer')
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.1)
    assert localize(cfg, 2, recipe='plain').optim_wrapper.optimizer == dict(type='AdamW', lr=0.1)


@pytest.mark.parametrize(
    ('optimizer', 'message'),
    [
        (dict(type='RMSprop'), 'stands in for SGD, AdamW, Adam, got RMSprop in optim_wrapper'),
        (dict(type='SGD', momentum=0.9, nesterov=True), 'needs no nesterov in optim_wrapper'),
        (dict(type='SGD'), 'needs a momentum, else SGD keeps nothing'),
        (dict(type='AdamW'), r"AdamW8bit needs bitsandbytes: pip install 'mmseg-infopro\[eight"),
    ],
)
def test_what_has_no_form_of_8_bits(
    optimizer: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eight_bit, 'find_spec', lambda package: None)
    with pytest.raises(ValueError, match=message):
        localize(with_optimizer(**optimizer), 2, recipe='free+8-bit-optimizer')


def test_adams_two_averages_need_a_byte_a_value() -> None:
    pytest.importorskip('torchao')
    states = []
    for recipe in ('plain', 'plain+8-bit-optimizer'):
        cfg = localize(with_optimizer(type='Adam'), 2, heads=HEADS, recipe=recipe)
        cfg.model.backbone.base_channels = 32
        cfg.model.decode_head.in_channels, cfg.model.auxiliary_head.in_channels = 256, 128
        states.append(dry_config_step(resolve(cfg)).peak.optimizer_state)
    assert 0.25 < states[1] / states[0] < 0.3


def test_a_looped_step_takes_the_place_of_a_fused_one() -> None:
    peaks = {}
    for recipe in ('plain', 'plain+fused-step', 'plain+looped-step'):
        cfg = localize(plain_config(), boundaries=['layer2.1'], heads=HEADS, recipe=recipe)
        cfg.model.data_preprocessor.size = (32, 32)  # so that the peak is in the update
        cfg.optim_wrapper.optimizer.weight_decay = 0.1  # which makes temporaries
        peaks[recipe.rpartition('+')[2]] = dry_config_step(resolve(cfg))
    assert peaks['plain'].peaks_in_update
    totals = {name: step.peak.total for name, step in peaks.items()}
    assert totals['fused-step'] <= totals['looped-step'] < totals['plain']
    optimizer = localize(plain_config(), 2, recipe='lean+looped-step').optim_wrapper.optimizer
    assert (optimizer.fused, optimizer.foreach) == (False, False)

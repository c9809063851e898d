"""Memory caps that are a share of what end-to-end training needs."""

import pytest

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.caps import card_bytes
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import config_peak
from tests.config.test_resolve import BATCH, config

CONFIG = 'configs/camvid/infopro_deeplabv3_r18.py'


@pytest.fixture(scope='module')
def end_to_end():
    return config_peak(config(dict(num_modules=1), BATCH)).total


def test_a_share_is_of_tensors_and_the_margin_comes_on_top(end_to_end):
    cfg = config(dict(memory_cap='92%', recompute='cheap', memory_margin='7MiB'), BATCH)
    resolved = resolve(cfg)
    cap = resolved.custom_hooks[0].memory_cap
    assert cap == int(0.92 * end_to_end) + 7 * 2**20
    assert config_peak(resolved).total <= 0.92 * end_to_end


def test_a_share_is_of_the_plain_step(end_to_end):
    cfg = config(dict(boundaries=['layer1.1'], recompute='cheap'), BATCH)
    cfg.model.decode_head.type = 'ChunkedFCNHead'
    assert card_bytes(cfg, '50%', margin=5) == end_to_end // 2 + 5
    assert card_bytes(cfg, '2GiB', margin=5) == 2**31


def test_a_share_that_nothing_fits_is_shown_with_a_unit():
    with pytest.raises(ValueError, match=r'memory_cap=[\d.]+ [GMK]iB fits no partition'):
        resolve(localize(config(dict(num_modules=2), BATCH), memory_cap='1%'))


@pytest.mark.parametrize('option', ['memory_cap', 'memory_margin'])
def test_a_number_that_is_typed_needs_a_unit(option):
    with pytest.raises(ValueError, match=f'model.local.{option}: 9000000 what[?] say'):
        read_config(CONFIG, {f'model.local.{option}': 9_000_000})

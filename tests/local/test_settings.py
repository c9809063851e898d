"""What a user may write into ``model.local``, and what is said when it is wrong."""

import pytest

from mmseg_infopro.local.settings import read_local_settings
from tests.models import build, model_config


@pytest.mark.parametrize(
    ('local', 'error', 'message'),
    [
        (
            dict(num_module=2),
            ValueError,
            'unknown key in local: num_module; .*heads.*; did you mean num_modules',
        ),
        (dict(num_modules=2, boundaries=['stem']), ValueError, 'got num_modules and boundaries'),
        (dict(memory_cap='1GiB', num_modules=2), ValueError, 'got num_modules and memory_cap'),
        (dict(memory_cap='1GiB', boundaries=[]), ValueError, 'got boundaries and memory_cap'),
        (dict(), ValueError, 'exactly one of num_modules, boundaries, memory_cap, got none'),
        (dict(num_modules='2'), TypeError, "num_modules must be an int, got '2'"),
        (dict(num_modules=True), TypeError, 'num_modules must be an int, got True'),
        (dict(boundaries='stem'), TypeError, "boundaries must be a list of unit names, got 'stem'"),
        (dict(num_modules=2, heads=[]), ValueError, 'heads must hold at least one head'),
        (dict(num_modules=2, heads=['FCNHead']), TypeError, 'heads must be a list of dicts'),
        (
            dict(num_modules=2, update_per_module=1),
            TypeError,
            'local.update_per_module must be True or False, got 1',
        ),
        ([], TypeError, 'local must be a dict, got list'),
        (
            dict(num_modules=2, placement='spread'),
            ValueError,
            "local.placement must be 'replicate' or 'pipeline', got 'spread'",
        ),
        (dict(num_modules=2, update='all'), ValueError, "local.update must be 'step' or 'module'"),
        (dict(num_modules=2, border_dtype='half'), ValueError, "be None or 'bfloat16', got 'half'"),
        (dict(num_modules=2, in_flight=0), ValueError, 'in_flight must be an int of at least 1'),
        (dict(num_modules=2, process_timeout=-1), ValueError, 'seconds above 0, got -1'),
        (dict(num_modules=2, staleness=-1), ValueError, 'iterations of at least 0, got -1'),
        (dict(num_modules=2, staleness=1.5), ValueError, 'iterations of at least 0, got 1.5'),
        (
            dict(num_modules=2, staleness=1),
            ValueError,
            "staleness needs local.placement='pipeline'",
        ),
        (dict(num_modules=2, reuse=0), ValueError, 'local.reuse must be an int of at least 1'),
        (
            dict(num_modules=2, placement='pipeline', reuse=2),
            ValueError,
            'local.reuse needs local.staleness of at least 1, got 2 without it',
        ),
    ],
)
def test_wrong_settings_are_named(local, error, message):
    with pytest.raises(error, match=message):
        read_local_settings(local)


def test_none_takes_a_base_configs_wish_back():
    settings = read_local_settings(dict(num_modules=None, boundaries=['stem'], memory_cap=None))
    assert settings.boundaries == ('stem',)


@pytest.mark.parametrize(
    ('local', 'message'),
    [
        (dict(boundaries=['layer5.0']), r"'layer5.0' does not exist in InfoProResNetV1c depth 18; "
         r'valid: stem, layer1.0'),
        (dict(boundaries=['layer4.1']), "'layer4.1' does not exist"),
        (dict(boundaries=['layer3.0', 'layer1.0']), r"order of the units.*'layer1.0', 'layer3.0'"),
        (dict(boundaries=['stem', 'stem']), r"each once, got \['stem', 'stem'\]"),
        (dict(num_modules=40), 'between 1 and 9 for InfoProResNetV1c depth 18, got 40'),
        (dict(num_modules=0), 'between 1 and 9'),
        (dict(memory_cap='1GiB'), r'mmseg_infopro.resolve\(cfg\)'),
    ],
)  # fmt: skip
def test_a_partition_that_does_not_fit_is_named(local, message):
    with pytest.raises(ValueError, match=message):
        build(model_config(local=local))


def test_a_backbone_that_cannot_be_cut_is_named():
    cfg = model_config(local=dict(num_modules=2))
    cfg['backbone']['type'] = 'ResNetV1c'
    with pytest.raises(TypeError, match=r'ResNetV1c cannot be cut .*supported: .*InfoProResNet,'):
        build(cfg)


def head(**settings):
    return dict(type='FCNHead', channels=8) | settings


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (head(in_channels=99), r"local.heads\[0\] \(FCNHead\) does not fit at boundary 'stem': "
         'in_channels must be 8 there, got 99'),
        (head(chanels=8), 'chanels'),
        (head(in_index=3), r'does not fit at boundary'),
        (dict(type='NoHead'), r'\(NoHead\) does not fit .* it is not registered'),
        (dict(type='InfoProResNet', depth=18), r'is not a head: it has no loss method'),
        (dict(type='ReconstructionHead', loss_weight=(1, 2, 3)), r'a number or \(first, last\)'),
        (dict(type='ReconstructionHead', downscale=3), 'downscale must be 1 or a power of two'),
        (dict(type='ReconstructionHead', hidden_channels=()), 'at least one width'),
        (dict(type='PixelContrastHead', temperature=0), 'temperature must be positive, got 0'),
        (dict(type='PixelContrastHead', num_samples=1), 'num_samples must be at least 2, got 1'),
    ],
)  # fmt: skip
def test_a_head_that_does_not_fit_is_named(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(model_config(local=dict(boundaries=['stem'], heads=[cfg])))

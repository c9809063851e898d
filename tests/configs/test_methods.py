"""The shipped configs of methods say what the methods' names stand for."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_infopro.config.methods import METHODS
from mmseg_infopro.local.infopro_heads import in_form

ROOT = Path(__file__).resolve().parents[2] / 'configs'
FILES = [
    *(f'camvid/{name}_deeplabv3_r18.py' for name in METHODS),
    *(
        f'cityscapes/{name}_deeplabv3_r101.py'
        for name in ('dgl', 'man', 'pgl', 'contsup_r1e', 'overlap')
    ),
]


def plain(value):
    """Return a setting with tuples as lists, as files have them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('name', FILES)
def test_a_config_and_the_name_of_its_method_agree(name):
    cfg = Config.fromfile(ROOT / name)
    method = METHODS[Path(name).name.partition('_deeplabv3')[0]]
    if method is METHODS['e2e']:
        assert 'local' not in cfg.model
        return
    local = cfg.model.local
    assert plain(local.get('schedule')) == plain(method.schedule)
    assert plain(local.get('context')) == plain(method.context)
    if method.heads is not None:
        assert plain(local.heads) == plain(in_form(method.heads, 'paper'))
    elif name.startswith('camvid'):
        assert local.heads == 'paper'


def test_the_methods_on_camvid_share_a_split():
    names = [name for name in METHODS if name not in ('e2e', 'infopro', 'infopro_contrast')]
    for name in names:
        local = Config.fromfile(ROOT / f'camvid/{name}_deeplabv3_r18.py').model.local
        assert local.boundaries == ['layer1.1', 'layer2.1']

"""What the coverage command says of a config."""

import pytest
from mmengine.config import Config

from mmseg_infopro.report.coverage import (
    STEPS,
    WORKS,
    cover,
    installed_configs,
    local_outcome,
    signature,
    small_batch,
)
from tests.models import model_config


def config(**model) -> Config:
    return Config(
        dict(
            model={**model_config(), **model},
            train_dataloader=dict(batch_size=8),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        )
    )


@pytest.fixture
def file(tmp_path):
    def write(**model):
        path = tmp_path / 'config.py'
        config(**model).dump(path)
        return path

    return write


def test_a_config_that_works(file):
    result = cover('family/config.py', file(), [2, 4])
    assert (result.family, result.plain) == ('family', STEPS)
    assert result.local == {2: WORKS, 4: WORKS}


def test_a_config_that_does_not_step_itself_is_not_held_against_us(file):
    head = dict(model_config()['decode_head'], in_channels=3)
    result = cover('family/config.py', file(decode_head=head), [2])
    assert result.plain.startswith('RuntimeError')
    assert result.local == {2: 'not tried: the plain config does not step'}


def test_a_config_that_cannot_be_read(tmp_path):
    imports = "custom_imports = dict(imports='no_such_package', allow_failed_imports=False)\n"
    (tmp_path / 'config.py').write_text(imports)
    result = cover('family/config.py', tmp_path / 'config.py', [2])
    assert result.plain.startswith('ImportError: Failed to import')
    assert result.local == {}


def test_a_refusal_is_told_from_a_failure():
    assert local_outcome(config(backbone=dict(type='VPD')), 2, set()).startswith('refused: ')
    assert local_outcome(config(), 99, set()).startswith('fails: ValueError: num_modules')


def test_a_parameter_that_does_not_train_any_more_is_a_failure():
    outcome = local_outcome(config(), 2, {'backbone.no_such.weight'})
    assert outcome == 'fails: no gradient for 1 parameters, as backbone.no_such.weight'


def test_configs_alike_but_for_data_and_batch_share_a_signature(tmp_path):
    one, other = config(), config()
    other.train_dataloader.batch_size = 16
    other.data_root = 'elsewhere'
    for name, cfg in zip('ab', (one, other), strict=True):
        cfg.dump(tmp_path / f'{name}.py')
    assert signature(tmp_path / 'a.py') == signature(tmp_path / 'b.py')
    assert small_batch(one).train_dataloader.batch_size == 2


def test_every_family_of_mmseg_is_found():
    configs = installed_configs()
    assert len(configs) > 600
    assert {'pspnet', 'swin', 'hrnet', 'ocrnet'} <= {name.partition('/')[0] for name in configs}

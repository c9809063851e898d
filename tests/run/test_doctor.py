"""The doctor finds what is there and what is not."""

import torch

from mmseg_infopro.run import doctor


def by_name():
    return {finding.name: finding for finding in doctor.findings()}


def test_this_environment_is_sound():
    found = by_name()
    assert torch.__version__ in found['torch'].text
    assert 'gloo' in found['several processes'].text
    assert not [finding for finding in found.values() if finding.fails]


def test_an_old_torch_fails(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1')
    assert by_name()['torch'] == doctor.Finding('torch', '2.5.1, but 2.6 or newer is needed', True)


def test_mixed_distributions_fail(monkeypatch):
    installed = {'onedl-mmengine': '0.10', 'mmcv': '2.1', 'mmsegmentation': '1.2'}
    monkeypatch.setattr(doctor, '_version', installed.get)
    found = by_name()
    assert found['mmcv'].text == 'mmcv 2.1' and not found['mmcv'].fails
    assert found['distributions'].fails
    installed['mmengine'] = '0.10'
    assert by_name()['mmengine'].fails


def test_a_missing_extra_says_what_needs_it(monkeypatch):
    monkeypatch.setattr(doctor, 'find_spec', lambda name: None)
    expected = 'not installed: TensorboardVisBackend would need it (pip install tensorboard)'
    assert by_name()['tensorboard'].text == expected
    assert 'CCNet' in by_name()['compiled operators'].text

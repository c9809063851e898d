from __future__ import annotations

from typing import Any

import pytest
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMSeparateDistributedDataParallel
from torch import nn

from mmseg_infopro.parallel import (
    LocalDataParallel,
    check_sync_batch_norm,
    choose_model_wrapper,
    init_distributed,
    launching,
)

PLAIN = dict(type='EncoderDecoder')
LOCAL = dict(type='InfoProEncoderDecoder', local=dict(num_modules=2))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The device that mmengine finds: `cpu` unless parametrized."""
    name = getattr(request, 'param', 'cpu')
    monkeypatch.setattr(launching, 'get_device', lambda: name)
    return name


def wrapper_of(launcher: str = 'pytorch', **content: Any) -> Any:
    cfg = Config(content)
    choose_model_wrapper(cfg, launcher)
    return cfg.get('model_wrapper_cfg')


@pytest.mark.parametrize('device', ['cpu', 'cuda'], indirect=True)
def test_local_modules_get_their_wrapper(device: str) -> None:
    assert wrapper_of(model=LOCAL) == dict(type='LocalDataParallel')
    assert wrapper_of('none', model=LOCAL) is None
    chosen = dict(bucket_cap_mb=50)
    wanted = dict(type='LocalDataParallel', bucket_cap_mb=50)
    assert wrapper_of(model=LOCAL, model_wrapper_cfg=chosen) == wanted


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(launching, 'print_log', lambda text, **_: messages.append(text))
    return messages


@pytest.mark.parametrize(
    'chosen', ['MMDistributedDataParallel', 'Mine', MMSeparateDistributedDataParallel]
)
def test_other_wrappers_of_local_modules_are_warned_of(
    device: str, warnings: list[str], chosen: str | type
) -> None:
    wrapper = wrapper_of(model=LOCAL, model_wrapper_cfg=dict(type=chosen))
    assert wrapper.type == chosen
    (warning,) = warnings
    assert f'model_wrapper_cfg.type={chosen!r} does not know local modules' in warning


def test_wrappers_that_fit_are_not_warned_of(device: str, warnings: list[str]) -> None:
    for chosen in ('LocalDataParallel', 'mmengine.LocalDataParallel', LocalDataParallel):
        wrapper_of(model=LOCAL, model_wrapper_cfg=dict(type=chosen))
    uncut = dict(type='InfoProEncoderDecoder', local=dict(boundaries=[]))
    wrapper_of(model=uncut, model_wrapper_cfg=dict(type='MMDistributedDataParallel'))
    wrapper_of('none', model=LOCAL, model_wrapper_cfg=dict(type='Mine'))
    assert warnings == []


def test_plain_models_name_no_device_on_cpus(device: str) -> None:
    wrapper = wrapper_of(model=PLAIN, find_unused_parameters=True)
    assert wrapper.type == 'MMDistributedDataParallel'
    assert wrapper.device_ids is None
    assert wrapper.find_unused_parameters
    chosen = wrapper_of(model=PLAIN, model_wrapper_cfg=dict(type='MMDistributedDataParallel'))
    assert chosen.device_ids is None


@pytest.mark.parametrize('device', ['cuda'], indirect=True)
def test_plain_models_are_left_to_mmengine_on_gpus(device: str) -> None:
    assert wrapper_of(model=PLAIN) is None
    chosen = dict(type='MMDistributedDataParallel')
    assert wrapper_of(model=PLAIN, model_wrapper_cfg=chosen) == chosen


@pytest.mark.parametrize('kind', ['SyncBN', nn.SyncBatchNorm])
def test_sync_batch_norm_is_found_wherever_it_is(device: str, kind: Any) -> None:
    sync = dict(type=kind, requires_grad=True)
    model = dict(**PLAIN, backbone=dict(norm_cfg=sync), auxiliary_head=[dict(norm_cfg=sync)])
    wanted = r'model\.backbone\.norm_cfg, model\.auxiliary_head\[0\]\.norm_cfg needs GPUs'
    with pytest.raises(ValueError, match=wanted):
        check_sync_batch_norm(Config(dict(model=model)), 'pytorch')
    with pytest.raises(ValueError, match='SyncBN in sync_bn needs GPUs'):
        check_sync_batch_norm(Config(dict(model=PLAIN, sync_bn='torch')), 'pytorch')
    check_sync_batch_norm(Config(dict(model=model)), 'none')


@pytest.mark.parametrize('device', ['cuda'], indirect=True)
def test_sync_batch_norm_is_fine_on_gpus(device: str) -> None:
    model = dict(**PLAIN, backbone=dict(norm_cfg=dict(type='SyncBN')))
    check_sync_batch_norm(Config(dict(model=model)), 'pytorch')


@pytest.mark.parametrize(
    ('launcher', 'names'),
    [
        ('pytorch', ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')),
        ('slurm', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID')),
        (
            'mpi',
            (
                'OMPI_COMM_WORLD_RANK',
                'OMPI_COMM_WORLD_SIZE',
                'OMPI_COMM_WORLD_LOCAL_RANK',
            ),
        ),
    ],
)
def test_the_group_is_opened_once(
    device: str, monkeypatch: pytest.MonkeyPatch, launcher: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr('os.environ', {})
    with pytest.raises(ValueError, match=f'--launcher {launcher} needs a process that it started'):
        init_distributed(launcher)
    port = str(29600 + len(names[0]))
    values = {**dict(zip(names, '010', strict=True)), 'MASTER_PORT': port}
    opened: list[str] = []
    monkeypatch.setattr(dist, 'init_process_group', opened.append)
    monkeypatch.setattr('os.environ', values)
    if launcher == 'slurm':
        with pytest.raises(ValueError, match='set MASTER_ADDR'):
            init_distributed(launcher)
        values['MASTER_ADDR'] = '127.0.0.1'
    assert init_distributed(launcher)
    assert opened == ['gloo']
    assert [values[name] for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')] == ['0', '1', '0']
    assert not init_distributed('none')


@pytest.mark.parametrize('device', ['cuda'], indirect=True)
def test_the_group_of_gpus_is_opened_as_a_runner_does(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(launching, 'init_dist', lambda *args, **kwargs: opened.append(kwargs))
    monkeypatch.setattr(launching, 'set_multi_processing', lambda **kwargs: opened.append(kwargs))
    monkeypatch.setattr('os.environ', dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0'))
    env_cfg = dict(mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='nccl', timeout=9))
    assert init_distributed('pytorch', env_cfg)
    assert opened == [dict(mp_start_method='fork', distributed=True), env_cfg['dist_cfg']]

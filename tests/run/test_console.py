"""The console of a run: short, and only what a user can act on."""

import logging
import warnings

import pytest
from mmengine.logging import MMLogger

from mmseg_infopro.run.console import WIDTH, quieten, short_iteration, show_module_losses
from mmseg_infopro.run.runner import introduction
from tests.models import HEADS, build, model_config

ITERATION = (
    'Iter(train) [   50/40000]  lr: 9.9890e-03  eta: 1 day, 2:30:00  time: 0.8510  data_time: '
    '0.0100  memory: 9120  grad_norm: 3.2000  loss: 2.5000  local_0.loss_ce: 0.5000  '
    'local_0.acc_seg: 40.1000  local_0.loss_rec: 1.0000  decode.loss_ce: 0.6000  '
    'aux.loss_ce: 0.4000'
)


@pytest.fixture
def logger(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, 'showwarning', warnings.showwarning)
    found = MMLogger('console', log_file=str(tmp_path / 'run.log'))
    quieten(found)
    return found


def test_an_iteration_is_one_line_with_the_total():
    assert short_iteration(ITERATION) == (
        'Iter(train) [   50/40000]  loss: 2.5000  grad_norm: 3.2000  lr: 9.9890e-03  '
        'time: 0.8510  memory: 9120 MiB  eta: 1 day, 2:30:00'
    )
    assert len(short_iteration(ITERATION)) <= WIDTH
    # 0.5 + 1.0 of module 0; 0.6 + 0.4 of what follows it.
    assert short_iteration(ITERATION, modules=True).splitlines()[1] == (
        '    local_0: 1.5000  tail: 1.0000'
    )


def test_by_epochs():
    message = ITERATION.replace('Iter(train) [   50/40000]', 'Epoch(train)  [ 1][ 50/743]')
    assert short_iteration(message).startswith('Epoch(train)  [ 1][ 50/743]  loss: 2.5000')


def test_the_file_has_what_the_console_leaves_out(logger, tmp_path, capsys):
    show_module_losses(logger)
    for message in ('Config:\nmodel = dict()', ITERATION, 'Saving checkpoint at 4 iterations'):
        logger.info(message)
    logger.warning('it is late')
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.warn_explicit('old', UserWarning, '/x/site-packages/mmseg/heads.py', 3)
        warnings.warn_explicit('mine', UserWarning, '/home/me/head.py', 4)
    console, file = capsys.readouterr(), (tmp_path / 'run.log').read_text()
    assert console.out.splitlines() == [
        *short_iteration(ITERATION, modules=True).splitlines(),
        'Saving checkpoint at 4 iterations',
        'warning: it is late',
    ]
    assert 'mine' in console.err and 'old' not in console.err
    for text in ('model = dict()', 'local_0.acc_seg', 'it is late', 'old', 'mine'):
        assert text in file


def test_our_own_messages_are_shown(logger, capsys):
    record = logger.makeRecord('m', logging.INFO, __file__, 1, 'stranger', (), None)
    ours = logger.makeRecord('m', logging.INFO, quieten.__code__.co_filename, 1, 'ours', (), None)
    for one in (record, ours):
        logger.handle(one)
    assert capsys.readouterr().out == 'ours\n'


def test_what_trains_is_said_once():
    heads = [dict(HEADS[0]), dict(HEADS[1], loss_weight=(2.0, 1.0))]
    model = build(model_config(local=dict(boundaries=['layer1.0', 'layer2.1'], heads=heads)))
    assert list(introduction(model)) == [
        'InfoProResNetV1c, FCNHead: 3 local modules',
        'local_0 to layer1.0: FCNHead (1 loss_ce), ReconstructionHead (2 loss_rec)',
        'local_1 to layer2.1: FCNHead (1 loss_ce), ReconstructionHead (1 loss_rec)',
    ]

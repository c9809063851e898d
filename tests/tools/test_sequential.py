"""A run whose modules train one after the other, as a user starts it."""

import json

import torch

from tests.tools.conftest import write_config


def weights(folder, iteration, part):
    state = torch.load(folder / f'iter_{iteration}.pth', weights_only=False)['state_dict']
    return {name: value for name, value in state.items() if name.startswith(part)}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_module_stays_as_it_is_validations_included(run, tmp_path, streets):
    more = 'optim_wrapper = dict(optimizer=dict(lr=0.1))\n'
    more += "param_scheduler = [dict(type='PolyLR', power=0.9, end=4, by_epoch=False)]\n"
    config = write_config(tmp_path, streets, more)
    words = '--method', 'sequential', '--work-dir', 'run', '--cfg-options'
    settings = (
        'train_cfg.max_iters=4', 'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=-1', 'default_hooks.logger.interval=1',
        'visualizer.name=sequential',  # one of this process's, which writes where it began
    )  # fmt: skip
    outcome = run('train', config, *words, *settings)
    assert outcome.status == 0, outcome.err
    folder = tmp_path / 'run'
    dumped = (folder / config.name).read_text()
    assert 'val_begin=3' in dumped and "type='PhasedPolyLR'" in dumped
    (file,) = folder.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record['step'] for record in records if 'mIoU' in record] == [3, 4]
    first, tail = ('backbone.stem', 'backbone.layer1', 'local_heads'), ('decode_head',)
    for part in first:
        assert not same(weights(folder, 1, part), weights(folder, 2, part))
        assert same(weights(folder, 2, part), weights(folder, 4, part))
    for part in tail:
        assert same(weights(folder, 1, part), weights(folder, 2, part))
        assert not same(weights(folder, 2, part), weights(folder, 3, part))
    rates = [record['lr'] for record in records if 'lr' in record]
    assert rates[0] == rates[2] != rates[1]

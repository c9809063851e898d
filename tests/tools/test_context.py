"""A model whose modules get contexts, from training to export."""

import json

from tests.tools.conftest import metrics_file, write_config


def test_it_is_trained_evaluated_and_exported_with_its_contexts(run, tmp_path, streets):
    config = write_config(tmp_path, streets)
    words = '--method', 'contsup_r1e', '--work-dir', 'run', '--cfg-options'
    # Visualizers of one name are one in a process, and write where the first run was.
    settings = 'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'visualizer.name=context'
    outcome = run('train', config, *words, *settings)
    assert outcome.status == 0, outcome.err
    validated = [
        json.loads(line)
        for file in (tmp_path / 'run').glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ][-1]
    dumped = tmp_path / 'run' / config.name
    outcome = run('test', dumped, 'run/iter_2.pth', '--work-dir', 'run')
    assert outcome.status == 0, outcome.err
    metrics = json.loads(metrics_file(outcome).read_text())['metrics']
    assert abs(metrics['mIoU'] - validated['mIoU']) < 1e-4
    # The config that training began with knows nothing of the method.
    assert 'trained with local.context' in run('test', config, 'run/iter_2.pth').error
    outcome = run('export', dumped, 'run/iter_2.pth', '--out', 'exported')
    assert outcome.status == 0, outcome.err
    assert 'local.context changes what the network predicts' in outcome.err
    outcome = run('test', f'exported/{config.name}', 'exported/iter_2.pth', '--work-dir', 'other')
    assert outcome.status == 0, outcome.err
    again = json.loads(metrics_file(outcome).read_text())['metrics']
    assert again == metrics

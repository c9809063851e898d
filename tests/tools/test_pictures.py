"""Pictures of a run in the visualizer's backends."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.conftest import write_config


def test_validation_images_reach_files_and_tensorboard(run, tmp_path, streets):
    more = "vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]\n"
    more += "visualizer = dict(vis_backends=vis_backends, name='pictures')\n"
    config = write_config(tmp_path, streets, more)
    settings = '--cfg-options', 'train_cfg.val_interval=1', 'default_hooks.logger.interval=1'
    outcome = run('train', config, '--pictures', 1, '--work-dir', 'run', *settings)
    assert outcome.status == 0, outcome.err
    files = sorted(file.name for file in (tmp_path / 'run').glob('*/vis_data/vis_image/*.png'))
    assert files == ['validation_1.png', 'validation_2.png']
    (events,) = (tmp_path / 'run').glob('*/vis_data/events*')
    seen = EventAccumulator(str(events)).Reload()
    assert [event.step for event in seen.Images('validation')] == [1, 2]
    assert [event.step for event in seen.Scalars('local_0.loss_ce')] == [1, 2]
    assert len(seen.Scalars('mIoU')) == 2


def test_no_pictures_are_refused(run, tmp_path, streets):
    outcome = run('train', write_config(tmp_path, streets), '--pictures', 0)
    assert (outcome.status, '--pictures must be at least 1, got 0' in outcome.err) == (2, True)

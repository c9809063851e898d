"""Curves of a run."""

from types import SimpleNamespace

from mmseg_infopro.report.run_figures import loss_figure


def test_a_module_that_trains_in_some_steps_only_has_its_curve():
    training = {
        50: {'loss': 3.0, 'local_0.loss_ce': 2.0, 'local_0.acc_seg': 9.0, 'decode.loss_ce': 1.0},
        100: {'loss': 1.0, 'decode.loss_ce': 1.0},
    }
    (axes,) = loss_figure(SimpleNamespace(training=training)).axes
    curves = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert curves == {'total': [50, 100], 'local_0': [50], 'tail': [50, 100]}

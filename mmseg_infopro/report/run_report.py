"""What there is to say of a run: curves, memory, partition, pictures, classes, config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.build import build_model
from ..config.pretrained import without_pretrained
from ..config.step import dry_config_step, dry_config_steps, step_shape
from ..hooks import MemoryHook
from ..measure.peaks import DryStep
from ..measure.sizes import format_bytes, parse_bytes
from ..measure.undrawn import undrawn_weights
from .baselines import E2E, end_to_end_forms
from .run_figures import (
    ModulePart,
    class_figure,
    loss_figure,
    partition_figure,
    score_figure,
)
from .run_files import RunFiles
from .run_page import as_code, as_note, as_rows, as_table, embedded, page
from .stage_shares import predicted_shares, share_rows, time_figure
from .timeline import timeline_figure


def run_report(run: RunFiles, advance: Callable[[], None] = lambda: None) -> str:
    """Return the HTML page of a run.

    Args:
        run: What it left.
        advance: Called after each of two dry steps.
    """
    step = dry_config_step(run.cfg)
    advance()
    plain = dry_config_step(end_to_end_forms(run.cfg)[E2E])
    advance()
    with undrawn_weights():
        model = build_model(without_pretrained(run.cfg.model))
    sections = {'Summary': as_table(summary(run, step, plain))}
    if run.training:
        sections['Losses'] = embedded(loss_figure(run), 'losses over the iterations')
    sections['Validations'] = (
        embedded(score_figure(run), 'mIoU over the iterations')
        if run.validations
        else as_note('No validation yet.')
    )
    if run.class_ious:
        sections['IoU by class, last evaluation'] = embedded(
            class_figure(run.class_ious), 'IoU of each class'
        )
    steps = {'E2E': plain, f'K={len(model_boundaries(model)) + 1}': step}
    sections['Memory of one training step'] = embedded(
        timeline_figure(steps, cap=memory_cap(run)), 'bytes alive over a training step'
    ) + as_note('Predicted by dry steps on fake tensors, not measured.')
    parts = module_parts(model, dry_config_steps(run.cfg) if is_pipeline(run.cfg) else [step])
    if len(parts) > 1:
        sections['Partition'] = embedded(
            partition_figure(parts), 'the units of the network by local module'
        ) + as_note('For each local module: its parameters, and the peak while it runs.')
    if is_pipeline(run.cfg):
        sections['Time of each process'] = times_of_processes(run)
    sections['Predictions and reconstructions'] = ''.join(
        embedded(file, 'validation images') for file in run.pictures
    ) or as_note('None were drawn: infopro train --pictures 3 draws them at validations.')
    sections['Config'] = as_code(run.cfg.pretty_text)
    return page(f'{run.work_dir.resolve().name}: {Path(run.cfg.filename).stem}', sections)


def is_pipeline(cfg: Config) -> bool:
    """Say whether a run trained one local module in each process."""
    local = cfg.model.get('local') or {}
    return local.get('placement') == 'pipeline' and bool(local.get('boundaries'))


def times_of_processes(run: RunFiles) -> str:
    """Return what each process of a pipeline did with its time."""
    predicted, times = predicted_shares(run.cfg), run.stage_times
    if times is not None and len(times['processes']) != len(predicted):
        times = None  # of another partition, before a resume
    note = 'Predicted: from FLOPs and bytes of dry steps, at speeds of this machine. '
    if times is None:
        note += 'Nothing was measured: that takes two logs, and processes on CPUs.'
    else:
        first, last = times['iterations']
        note += (
            f'Measured from iteration {first} to {last}. Process k trains local module k. What it '
            'waits for its data is what mmengine logs as data_time, checkpoints included.'
        )
    figure = embedded(time_figure(predicted, times), 'what each process did with its time')
    return figure + as_rows(share_rows(predicted, times)) + as_note(note)


def summary(run: RunFiles, step: DryStep, plain: DryStep) -> dict[str, str]:
    """Return the run's most important figures by name."""
    shape = step_shape(run.cfg)
    rows = {}
    if run.training:
        last = max(run.training)
        rows['iterations'] = f'{last} of {run.cfg.train_cfg.get("max_iters", "?")}'
        rows['last loss'] = f'{run.training[last]["loss"]:.4f}'
        rows['time of a step'] = f'{run.training[last]["time"]:.3f} s, data included'
    scores = {i: record['mIoU'] for i, record in run.validations.items() if 'mIoU' in record}
    if scores:
        best = max(scores, key=lambda iteration: scores[iteration])
        last = max(scores)
        rows['mIoU'] = f'{scores[last]:.2f} at {last}; best {scores[best]:.2f} at {best}'
    rows['batch and crop'] = f'{shape.batch_size} x {shape.crop[0]}x{shape.crop[1]}'
    share = step.peak.total / plain.peak.total
    rows['predicted peak'] = (
        f'{format_bytes(step.peak.total)}, {share:.1%} of end-to-end training '
        f'({format_bytes(plain.peak.total)})'
    )
    measured = [record['memory'] for record in run.training.values() if 'memory' in record]
    if measured:
        rows['allocated on the GPU, most'] = format_bytes(int(max(measured) * 2**20))
    rows['checkpoints'] = ', '.join(run.checkpoints) or 'none'
    return rows


def module_parts(model: Any, steps: Sequence[DryStep]) -> list[ModulePart]:
    """Return the local modules of a model with what they consist of; one where it is not cut.

    Args:
        model: The segmentor.
        steps: That of all modules, or one of each process.
    """
    boundaries = model_boundaries(model)
    peaks = {index: peak for step in steps for index, peak in step.module_peaks().items()}
    names = [unit.name for unit in model.backbone.units()] if boundaries else []
    parts = []
    for index in range(len(boundaries) + 1 if boundaries else 0):
        end = names.index(boundaries[index]) + 1 if index < len(boundaries) else len(names)
        units, names = names[:end], names[end:]
        parameters = model.module_parameters(index).values()
        parts.append(
            ModulePart(
                f'local_{index}' if index < len(boundaries) else 'tail',
                units,
                sum(parameter.numel() for parameter in parameters),
                peaks.get(index, 0),
            )
        )
    return parts


def model_boundaries(model: Any) -> tuple[str, ...]:
    """Return where a segmentor is cut, if it is."""
    return tuple(getattr(model, 'boundaries', ()))


def memory_cap(run: RunFiles) -> int | None:
    """Return the cap that a run was planned for, if there was one."""
    for hook in run.cfg.get('custom_hooks') or ():
        if hook.get('type') in (MemoryHook, MemoryHook.__name__):
            cap = hook.get('memory_cap')
            return None if cap is None else parse_bytes(cap)
    return None

"""The sentences about a step: why it fails, what its peak consists of, why no partition fits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..local.settings import LocalSettings
from ..measure.peaks import PROCESS, DryStep
from ..measure.sizes import format_bytes, format_size
from ..planning.batch import StepShape
from ..upstream import FAKE_TENSOR_LOGGER
from .places import first_sentence, part_of_model


class FailedStepError(ValueError):
    """The model cannot train on such a batch."""


@contextmanager
def explained_failure(shape: StepShape) -> Iterator[None]:
    """Say of which step torch's errors are, as of layers that do not fit each other.

    Raises:
        FailedStepError: In place of whatever but a ValueError, which says it already.
    """
    # It would print the traceback of what becomes a sentence.
    logger = logging.getLogger(FAKE_TENSOR_LOGGER)
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        high, wide = shape.crop
        first_line = str(error).partition('\n')[0] if isinstance(error, RuntimeError) else ''
        part = part_of_model(error)
        raise FailedStepError(
            f'a training step on {shape.batch_size} images of {high}x{wide} fails'
            f'{f" in {part}" if part else ""}: {first_line or first_sentence(error)}'
        ) from error
    finally:
        logger.disabled = was_disabled


def describe_peak(step: DryStep) -> str:
    """Return what a step's peak consists of, the largest part first, and where it is."""
    peak, peaks = step.peak, step.module_peaks()
    parts = {
        'activations': peak.activations,
        'parameters': peak.parameters,
        'gradients': peak.gradients,
        'optimizer state': peak.optimizer_state,
    }
    largest = sorted(parts, key=parts.__getitem__, reverse=True)
    text = ', '.join(f'{format_bytes(parts[name])} of {name}' for name in largest if parts[name])
    if step.peaks_in_update:
        return f"{text}, in the optimizer's step"
    if step.kind.startswith(PROCESS):
        return f'{text}, in {step.kind}, which trains local module {step.kind.split()[-1]}'
    if len(peaks) > 1:
        text += f', in local module {max(peaks, key=peaks.__getitem__)}'
    if step.kind not in ('', 'local'):
        text += f' of a step of the kind {step.kind!r}'
    return text


def nothing_fits(settings: LocalSettings, cap: int, step: DryStep, num_modules: int) -> str:
    """Return why a cap fits no partition, and what would help.

    Args:
        settings: With the cap.
        cap: Bytes that it leaves for tensors.
        step: The one with the smallest peak that was found.
        num_modules: Of that.
    """
    advice = 'use a smaller batch or crop'
    if step.peaks_in_update:
        advice = 'use an optimizer that needs less, or a smaller network'
    if settings.recompute != 'auto':
        advice += ", or local.recompute='auto'"
    asked, margin = format_size(settings.memory_cap or 0), format_size(settings.memory_margin)
    return (
        f'local.memory_cap={asked} fits no partition: the smallest peak found is '
        f'{format_bytes(step.peak.total)} with num_modules={num_modules} '
        f'({describe_peak(step)}), and less local.memory_margin={margin} '
        f'the cap leaves {format_bytes(cap)} for tensors; {advice}'
    )

"""Errors that name the place in the config that they are of."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def named(place: str) -> Iterator[None]:
    """Say of which place in the config an error is, whatever Python calls it.

    Raises:
        ValueError: In place of any other exception.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f'{place}: {first_sentence(error)}') from error


def first_sentence(error: BaseException) -> str:
    """Return what an error says, on one line; its type where that does not explain itself."""
    text = ' '.join(str(error).split()).partition(' Please check whether the value')[0]
    if isinstance(error, AssertionError) and not text:
        return _condition(error)
    if isinstance(error, KeyError) and ' ' in text:
        return text.strip('\'"')
    if ' ' not in text or isinstance(error, (KeyError, IndexError, AttributeError, UnicodeError)):
        return f'{type(error).__name__}: {text}' if text else type(error).__name__
    return text


def _condition(error: AssertionError) -> str:
    """Return what an assertion without a message asks for."""
    frames = traceback.extract_tb(error.__traceback__)
    line = frames[-1].line or '' if frames else ''
    asked = line.removeprefix('assert ').rstrip(' \\')
    return f'this must hold, and does not: {asked}' if asked != line else 'AssertionError'


def part_of_model(error: BaseException) -> str | None:
    """Return the part of a model that an error was raised in, as ``model.decode_head``.

    It is told by the modules whose methods were running: the first of them is the model.
    """
    running: list[nn.Module] = []
    frame = error.__traceback__
    while frame is not None:
        owner: Any = frame.tb_frame.f_locals.get('self')
        if isinstance(owner, nn.Module):
            running.append(owner)
        frame = frame.tb_next
    for model in running:
        names = {id(part): name for name, part in model.named_modules()}
        if id(running[-1]) in names and 'decode_head' in dict(model.named_children()):
            parts = names[id(running[-1])].split('.')
            own = 'local.heads' if parts[0] == 'local_heads' else parts[0]
            return f'model.{own}' if own else None
    return None

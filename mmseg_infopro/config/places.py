"""Errors that name the place in the config that they are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
    if isinstance(error, KeyError) and ' ' in text:
        return text.strip('\'"')
    if ' ' not in text or isinstance(error, (KeyError, IndexError, AttributeError, UnicodeError)):
        return f'{type(error).__name__}: {text}' if text else type(error).__name__
    return text

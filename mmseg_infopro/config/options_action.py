"""``--cfg-options`` of a command line."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


class OptionsAction(DictAction):
    """Reads settings as ``key=value``; what cannot be read is said, in place of a traceback."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the settings by their dotted keys.

        Raises:
            ArgumentError: One has no value or no key, or its value cannot be read.
        """
        for setting in values or ():
            key, equals, value = str(setting).partition('=')
            if not (key.strip('. ') and equals):
                raise ArgumentError(self, f'a setting is written as key=value, got {setting!r}')
            if 'dict(' in value or '{' in value:
                raise ArgumentError(
                    self, f'{key} cannot be a dict here: write it in a config, got {value}'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except Exception as error:
            raise ArgumentError(
                self, f'{" ".join(map(str, values or ()))} cannot be read: {error}'
            ) from error

"""How our commands fail: with a sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps


class UserError(ValueError):
    """Something that the user can mend."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command's ``main``: a user's error is printed as one sentence, exit status 2."""

    @wraps(main)
    def run() -> None:
        try:
            main()
        except (UserError, ValueError, TypeError) as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)

    return run

"""Street scenes that all campaigns train on."""

from tests.tools.conftest import one_thread, streets

__all__ = ['one_thread', 'streets']

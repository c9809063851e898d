"""What campaigns share: street scenes to train on, and tools run as a user runs them."""

from tests.tools.conftest import one_thread, run, run_at_root, streets, trained

__all__ = ['one_thread', 'run', 'run_at_root', 'streets', 'trained']

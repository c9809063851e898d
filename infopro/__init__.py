"""The command ``infopro``. It stands beside the package, because importing that takes seconds."""

"""What each command does, after its arguments were parsed by those of ``infopro.parsers``."""

"""What each command of ``cli.py`` does, one module a command."""

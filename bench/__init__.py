"""Benchmarks of the figures that the daemon has to reach: ``python -m bench``, or ``make bench``."""

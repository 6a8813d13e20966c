"""What the belt looks like from outside: the console's picture, the gauges, the summary of a run. Only reads.

``figures`` are computed once over the shards at hand; ``status`` makes the console's picture of them, ``gauges`` the
metrics, ``summary`` what a run prints at its end. ``readiness`` says why a worker is not ready. ``observer`` calls them.
"""

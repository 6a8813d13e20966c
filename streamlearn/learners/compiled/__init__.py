"""Compiled River: pipelines that are known in advance, run as Numba kernels over the columns of a batch.

``plan.lower`` turns a River object into a ``CompiledProgram``, or says why it cannot (``Refusal``);
``learner.CompiledLearner`` runs it; ``to_river`` and ``from_river`` turn
its state into a working River object and back.
"""

"""Transformers: from columns to a model's inputs, event by event, as River's scalers and encoders do it.

Of each event there are two versions: as the scalers and encoders stood before it, for the prediction, and as they
stand after they learned it, for learning; River transforms twice, too (`predict_before_learn`). All
that is carried from event to event is in the arrays that are given, so where a batch is cut changes nothing
(`replay_equals_run`). Expressions are in River's order: another one gives other last bits. The one liberty: a
square root is ``sqrt``, where Python's ``** 0.5`` is off by one bit in a thousandth of the cases.
"""

from __future__ import annotations

from streamlearn.events import Bool_B, Bool_BF, Float_BF, Int_B
from streamlearn.learners.compiled.kernels_encoders import encode_all
from streamlearn.learners.compiled.kernels_scalers import scale, standardize
from streamlearn.learners.compiled.layout import (
    GATHER,
    STAGE_GATHER,
    STAGE_KIND,
    STAGE_TO,
    STAGE_WIDTH,
    STANDARD,
    Feed,
)
from streamlearn.native import uncounted, uncounted_inlined
from streamlearn.native_lanes import LANES, lanes, load, store


@uncounted
def transform(feed: Feed, start: int) -> int:
    """Write the events from ``start`` on into the chunk, learn from those that are to be learned; return the end."""
    batch, program, cells, chunk = feed.batch, feed.program, feed.cells, feed.chunk
    stop = min(start + feed.chunk_events, len(batch.learned_B))
    before, after = chunk.predicting, chunk.learning
    learned_W = batch.learned_B[start:stop]
    _load(batch.numeric_BF, start, learned_W, before.value_WV, after.value_WV)
    if program.with_indicators:
        _load_indicators(batch.missing_BF, start, learned_W, before.value_WV, after.value_WV)
    for s in range(len(program.stage_SX)):
        stage = program.stage_SX[s]
        if stage[STAGE_KIND] == GATHER:
            sources = program.gather[stage[STAGE_GATHER] : stage[STAGE_GATHER] + stage[STAGE_WIDTH]]
            _gather(sources, stage[STAGE_TO], learned_W, before.value_WV, after.value_WV)
        elif stage[STAGE_KIND] == STANDARD:
            standardize(stage, cells, learned_W, before.value_WV, after.value_WV)
        else:
            scale(stage, cells, learned_W, before.value_WV, after.value_WV)
    if len(program.block_KX) > 0:
        encode_all(batch.token_BT, start, learned_W, before, after, program, feed.rows, feed.words)
    return stop


@uncounted
def _load(
    numeric_BF: Float_BF, start: int, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF
) -> None:
    features, values = numeric_BF.shape[1], before_WV.shape[1]
    for w in range(len(learned_W)):
        _copy(numeric_BF, (start + w) * features, features, before_WV, w * values)
        if learned_W[w]:
            _copy(numeric_BF, (start + w) * features, features, after_WV, w * values)


@uncounted_inlined
def _copy(source: Float_BF, place: int, count: int, target: Float_BF, target_place: int) -> None:
    whole = count - count % LANES
    for j in range(0, whole, LANES):
        store(target, target_place + j, load(source, place + j, lanes(0.0)))
    for j in range(whole, count):
        store(target, target_place + j, load(source, place + j, 0.0))


@uncounted
def _load_indicators(
    missing_BF: Bool_BF, start: int, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF
) -> None:
    features = missing_BF.shape[1]
    for w in range(len(learned_W)):
        for f in range(features):
            indicator = 1.0 if missing_BF[start + w, f] else 0.0
            before_WV[w, features + f] = indicator
            after_WV[w, features + f] = indicator


@uncounted
def _gather(sources: Int_B, output: int, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF) -> None:
    for w in range(len(learned_W)):
        for j in range(len(sources)):
            before_WV[w, output + j] = before_WV[w, sources[j]]
        if learned_W[w]:
            for j in range(len(sources)):
                after_WV[w, output + j] = after_WV[w, sources[j]]

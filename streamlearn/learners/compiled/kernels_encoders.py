"""River's encoders: from categories to the entries of an event, in the order of River's dict.

A place is given to a key by the first event that teaches it (`replay_equals_run`); what is only predicted writes
nothing but scratch (`reads_are_pure`).
"""

from __future__ import annotations

from streamlearn.events import Bool_B, Code_B, Int_B
from streamlearn.learners.compiled.kernels_scalers import learned, scaled
from streamlearn.learners.compiled.layout import (
    BLOCK_CHAIN,
    BLOCK_CHAIN_END,
    BLOCK_INPUT,
    BLOCK_INPUT_END,
    BLOCK_KIND,
    BLOCK_SKIPS_ZEROS,
    HASHED,
    NEW_KEYS,
    ONE_HOT,
    PLACES,
    STAMP,
    Program,
    Rows,
    Side,
    Words,
)
from streamlearn.native import uncounted


@uncounted
def encode_all(
    token_BT: Code_B,
    start: int,
    learned_W: Bool_B,
    before: Side,
    after: Side,
    program: Program,
    rows: Rows,
    words: Words,
) -> None:
    """Write the chunk's entries, of each event first those for predicting."""
    before_end = 0
    after_end = 0
    for w in range(len(learned_W)):
        for learns in (False, True):
            if learns and not learned_W[w]:
                after.places_W[w] = words.counters[PLACES]
                after.end_W[w] = after_end
            elif learns:
                after_end = _encode(True, after, w, after_end, token_BT[start + w], program, rows, words)
                after.places_W[w] = words.counters[PLACES]
                after.end_W[w] = after_end
            else:
                before.places_W[w] = words.counters[PLACES]
                before_end = _encode(False, before, w, before_end, token_BT[start + w], program, rows, words)
                before.end_W[w] = before_end


@uncounted
def _encode(
    learns: bool, side: Side, w: int, end: int, tokens: Int_B, program: Program, rows: Rows, words: Words
) -> int:
    """Append an event's entries, in the order of River's dict, and return where they end."""
    for item in program.region:
        if item >= 0:
            side.weight_E[end] = item
            side.value_E[end] = side.value_WV[w, program.model_from + item]
            end += 1
            continue
        b = -1 - item
        block = program.block_KX[b]
        if learns:
            _give_places(block, b, tokens, words)
        first = end
        if block[BLOCK_KIND] == ONE_HOT and not block[BLOCK_SKIPS_ZEROS]:
            end = _append_known(b, side, end, program, words)
        end = _append_present(block, side, w, end, tokens, program, words)
        if block[BLOCK_KIND] == ONE_HOT and block[BLOCK_SKIPS_ZEROS]:
            _sort(side, first, end, program.inputs)
        for c in range(block[BLOCK_CHAIN], block[BLOCK_CHAIN_END]):
            row = program.chain[c]
            for e in range(first, end):
                _scale_entry(learns, row, e, side, program, rows)
    return end


@uncounted
def _give_places(block: Int_B, b: int, tokens: Int_B, words: Words) -> None:
    for t in range(block[BLOCK_INPUT], block[BLOCK_INPUT_END]):
        key = words.key_of_token[tokens[t]]
        if key >= 0 and words.place_of_key[key] == 0:
            words.counters[PLACES] += 1
            place = words.counters[PLACES]
            words.place_of_key[key] = place
            words.block_of_place[place] = b
            words.key_of_new[words.counters[NEW_KEYS]] = key
            words.counters[NEW_KEYS] += 1


@uncounted
def _append_known(b: int, side: Side, end: int, program: Program, words: Words) -> int:
    """Append a zero for each category that the encoder knows, in the order in which it learned them."""
    for place in range(1, words.counters[PLACES] + 1):
        if words.block_of_place[place] == b:
            words.entry_of_place[place] = end
            side.weight_E[end] = program.inputs + place
            side.value_E[end] = 0.0
            end += 1
    return end


@uncounted
def _append_present(
    block: Int_B, side: Side, w: int, end: int, tokens: Int_B, program: Program, words: Words
) -> int:
    """Append what the event has, or write it where a zero stands for it."""
    words.counters[STAMP] += 1
    stamp = words.counters[STAMP]
    has_zeros = block[BLOCK_KIND] == ONE_HOT and not block[BLOCK_SKIPS_ZEROS]
    for t in range(block[BLOCK_INPUT], block[BLOCK_INPUT_END]):
        token = tokens[t]
        key = words.key_of_token[token]
        if key < 0:
            continue
        place = words.place_of_key[key]
        if has_zeros and place > 0:
            side.value_E[words.entry_of_place[place]] = 1.0
            continue
        value = words.sign_of_token[token]
        if program.input_T[t] >= 0:
            value *= side.value_WV[w, program.input_T[t]]
        if words.stamp_of_key[key] == stamp:
            # Two inputs under one key: hashed ones add up, one-hot ones are 1 all the same.
            if block[BLOCK_KIND] == HASHED:
                side.value_E[words.entry_of_key[key]] += value
            continue
        words.stamp_of_key[key] = stamp
        words.entry_of_key[key] = end
        side.weight_E[end] = program.inputs + place
        side.value_E[end] = value
        end += 1
    return end


@uncounted
def _sort(side: Side, first: int, end: int, nobody: int) -> None:
    """Put one-hot entries in the order in which they were learned, those never learned last. All are 1."""
    for e in range(first + 1, end):
        weight = side.weight_E[e]
        if weight == nobody:
            continue
        at = e
        while at > first and (side.weight_E[at - 1] > weight or side.weight_E[at - 1] == nobody):
            side.weight_E[at] = side.weight_E[at - 1]
            at -= 1
        side.weight_E[at] = weight


@uncounted
def _scale_entry(learns: bool, row: int, e: int, side: Side, program: Program, rows: Rows) -> None:
    kind, place, x = program.row_kind_R[row], side.weight_E[e] - program.inputs, side.value_E[e]
    seen, low, high = rows.seen_RD[row], rows.low_RD[row], rows.high_RD[row]
    if learns:
        seen[place], low[place], high[place] = learned(kind, x, seen[place], low[place], high[place])
    side.value_E[e] = scaled(kind, x, low[place], high[place])

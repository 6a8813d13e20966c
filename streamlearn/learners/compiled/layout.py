"""What the kernels see: tuples of arrays, whose types and layouts never change, so each kernel is compiled once.

Shape letters: B events of a batch, F numeric features, W events of a chunk, V values of an event, S numeric
inputs of the model, T categorical (or hashed) inputs of the encoders, E entries of a chunk, D places of
encoded features, R scalers over encoded features, N weights (S + D), C classes that were learned.

An event's **values** are its numeric features, then their missing indicators, then what each stage makes of
them. An **encoded** feature is a key that an encoder made (``carrier_AA``, or a bucket of a hash): it has a
**place**, from 1 on, once it was learned. Place 0 is nobody's: what was never learned is looked up there, and
finds what a fresh dict would give. A model's weight ``j < S`` belongs to a numeric input, ``S + place`` to an
encoded one. An **entry** is such a weight's index and the event's value for it.
"""

from __future__ import annotations

from typing import NamedTuple

from streamlearn.events import Bool_B, Bool_BF, Code_B, Float_B, Float_BF, Int_B

# Kinds of stages.
GATHER, STANDARD, CENTER, MIN_MAX, MAX_ABS = range(5)
# Columns of Program.stage_SX.
STAGE_KIND, STAGE_FROM, STAGE_WIDTH, STAGE_TO, STAGE_CELL, STAGE_GATHER = range(6)
# Kinds of encoders, and columns of Program.block_KX.
ONE_HOT, ONE_HOT_DROPPING_ZEROS, HASHED = range(3)
BLOCK_KIND, BLOCK_SKIPS_ZEROS, BLOCK_INPUT, BLOCK_INPUT_END, BLOCK_CHAIN, BLOCK_CHAIN_END = range(6)
# Members of Words.counters.
PLACES, NEW_KEYS, STAMP = range(3)


class Batch(NamedTuple):
    """What of the events the kernels read; C-contiguous."""

    numeric_BF: Float_BF
    missing_BF: Bool_BF
    token_BT: Code_B  # (B, T) indices into Words.key_of_token
    learned_B: Bool_B  # which events are learned
    # Of a binary model: which events were learned before with false (0) or true (1), and wrongly; -1: this one was
    # not. Of no length where none of the batch was.
    undone_B: Code_B


class Program(NamedTuple):
    """A lowered pipeline's transformers. Never written to."""

    stage_SX: Int_B  # (stages, 6), in order; STAGE_* name the columns
    gather: Int_B  # value indices of the GATHER stages
    block_KX: Int_B  # (encoders, 6); BLOCK_* name the columns
    input_T: Int_B  # the value that a hashed number comes from; -1: a category, whose value is 1
    chain: Int_B  # scalers over encoded features (rows of Rows), in order, block by block
    row_kind_R: Int_B
    region: Int_B  # what becomes entries, in order: j for numeric input j, -1 - block for an encoder's
    with_indicators: int
    values: int  # V
    model_from: int  # the value that is the model's first numeric input
    inputs: int  # S
    prefix: int  # numeric inputs 0:prefix stand before the region, suffix:S behind it
    suffix: int


class Cells(NamedTuple):
    """Scalers over numeric values, one cell a value: how often it was learned, and what was."""

    seen: Float_B
    low: Float_B  # mean | minimum | largest absolute value
    high: Float_B  # variance | maximum
    root: Float_B  # of the variance


class Rows(NamedTuple):
    """Scalers over encoded features, by scaler and place."""

    seen_RD: Float_BF
    low_RD: Float_BF
    high_RD: Float_BF


class Words(NamedTuple):
    """The batch's categories. Tokens and keys are numbered within the batch; places for good."""

    key_of_token: Int_B  # -1: a key that no encoder's feature is seen under
    sign_of_token: Float_B
    place_of_key: Int_B  # 0: not learned yet
    block_of_place: Int_B
    key_of_new: Int_B  # keys that were given a place, in that order
    entry_of_key: Int_B  # scratch
    stamp_of_key: Int_B  # scratch: in which event a key was seen last
    entry_of_place: Int_B  # scratch
    counters: Int_B  # PLACES, NEW_KEYS, STAMP


class Side(NamedTuple):
    """A chunk's events as the model sees them, at one of two times: when predicting, when learning."""

    value_WV: Float_BF
    end_W: Int_B  # where the event's entries end; they begin where those of the one before end
    weight_E: Int_B
    value_E: Float_B
    places_W: Int_B  # places that were given at that time


class Chunk(NamedTuple):
    """Events in the form that model kernels take. ``learning`` means something for learned events only."""

    predicting: Side
    learning: Side


class Feed(NamedTuple):
    """Where a model kernel's chunks come from; ``transform`` fills the one chunk again and again."""

    batch: Batch
    program: Program
    cells: Cells
    rows: Rows
    words: Words
    chunk: Chunk
    chunk_events: int

"""What to do about an error of a transactional producer: one table, for every call.

    AGAIN     nothing is decided: the same call again, after a pause
    ABORT     the transaction cannot go on: abort it, begin another, send the same again
    REJOIN    as ABORT, with what proves membership asked for anew; a few times, then as FENCED
    RECREATE  this producer is done for: a new one under the same id ends the transaction, and the group's
              offsets, which ride in it, say how; committed: done, aborted: send the same again
    FENCED    another holds the id, or the broker ended a transaction that was open for too long
    REFUSED   it fails however often it is sent

Upholds the sending half of `learned_once`: no verdict sends again what may have been committed, or forgets
what may have been aborted.

Sources: KIP-360 and KIP-588 (what can be mended), and librdkafka's transactional producer,
https://github.com/confluentinc/librdkafka/blob/master/INTRODUCTION.md.
"""

from __future__ import annotations

from enum import Enum

from confluent_kafka import KafkaError

from streamlearn.connectors.kafka_errors import MISSING, UNAVAILABLE


class Verdict(Enum):
    """What to do about an error; see the module's head."""

    AGAIN = "again"
    ABORT = "abort"
    REJOIN = "rejoin"
    RECREATE = "recreate"
    FENCED = "fenced"
    REFUSED = "refused"


_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
_REJOIN = frozenset(
    {
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)
_REFUSED = MISSING | {
    KafkaError._AUTHENTICATION,
    KafkaError._INVALID_ARG,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.POLICY_VIOLATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
}
# Said where the reason was told before: librdkafka tells it again when it is asked to abort.
_TOLD_BEFORE = frozenset({KafkaError._FATAL, KafkaError._STATE})
# The cluster or the group is busy with itself: no try is counted.
WAITS = UNAVAILABLE | {
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}


def verdict_of(error: KafkaError) -> Verdict:
    """Return what to do about an error of a transactional producer.

    >>> verdict_of(KafkaError(KafkaError._TIMED_OUT, "", False, True)).name
    'AGAIN'
    >>> verdict_of(KafkaError(KafkaError._FENCED, "", True)).name
    'FENCED'
    """
    code = error.code()
    if code in _FENCED:
        return Verdict.FENCED
    if error.retriable():
        return Verdict.AGAIN
    if code in _REFUSED:
        return Verdict.REFUSED
    if code in _REJOIN:
        return Verdict.REJOIN
    if error.txn_requires_abort() or code in _TOLD_BEFORE:
        return Verdict.ABORT
    return Verdict.RECREATE

"""The librdkafka that confluent-kafka brought along, by its public C interface, through ctypes.

It is the very copy that confluent-kafka itself runs on, opened only where this process has it loaded
already, and only where it says the same version: never a second librdkafka, never another one. Whatever
is not as it should be is ``NoCBatches``, which says why; the reader then goes on with ``consume()``, and who
writes with ``produce()``.

Source: rdkafka.h of librdkafka 2.x, whose ABI is stable within a major version.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Final, TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streamlearn.connectors.kafka_settings import Settings
from streamlearn.errors import ConfigError
from streamlearn.events import TopicPartition

# Those of rdkafka.h that are used here.
PRODUCER: Final = 0
CONSUMER: Final = 1
COPY_PAYLOAD: Final = 0x2  # RD_KAFKA_MSG_F_COPY
ANY_PARTITION: Final = -1  # RD_KAFKA_PARTITION_UA: the partitioner chooses
PURGE_QUEUE: Final = 0x1  # RD_KAFKA_PURGE_F_QUEUE
DELIVERY_REPORTS: Final = 0x1  # RD_KAFKA_EVENT_DR
NO_CONSUMER_CLOSE: Final = 0x8  # RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE
MAJOR_VERSION: Final = 2

_OKAY: Final = 0  # RD_KAFKA_CONF_OK, and RD_KAFKA_RESP_ERR_NO_ERROR
_MESSAGE_BYTES: Final = 512

_pointer, _text, _size, _int = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
_int32, _int64 = ctypes.c_int32, ctypes.c_int64

# Name: what it returns (None: nothing), then what it takes.
_PROTOTYPES: Final[Mapping[str, tuple[Any, ...]]] = {
    "rd_kafka_version": (_int,),
    "rd_kafka_version_str": (_text,),
    "rd_kafka_err2str": (_text, _int),
    "rd_kafka_last_error": (_int,),
    "rd_kafka_error_code": (_int, _pointer),
    "rd_kafka_error_string": (_text, _pointer),
    "rd_kafka_error_is_fatal": (_int, _pointer),
    "rd_kafka_error_is_retriable": (_int, _pointer),
    "rd_kafka_error_txn_requires_abort": (_int, _pointer),
    "rd_kafka_error_destroy": (None, _pointer),
    "rd_kafka_conf_new": (_pointer,),
    "rd_kafka_conf_set": (_int, _pointer, _text, _text, _text, _size),
    "rd_kafka_conf_set_events": (None, _pointer, _int),
    "rd_kafka_conf_set_dr_msg_cb": (None, _pointer, _pointer),
    "rd_kafka_conf_destroy": (None, _pointer),
    "rd_kafka_new": (_pointer, _int, _pointer, _text, _size),
    "rd_kafka_destroy_flags": (None, _pointer, _int),
    "rd_kafka_poll_set_consumer": (_int, _pointer),
    "rd_kafka_queue_get_consumer": (_pointer, _pointer),
    "rd_kafka_queue_get_main": (_pointer, _pointer),
    "rd_kafka_queue_destroy": (None, _pointer),
    "rd_kafka_queue_poll": (_pointer, _pointer, _int),
    "rd_kafka_event_message_next": (_pointer, _pointer),
    "rd_kafka_event_destroy": (None, _pointer),
    "rd_kafka_topic_new": (_pointer, _pointer, _text, _pointer),
    "rd_kafka_topic_name": (_text, _pointer),
    "rd_kafka_topic_destroy": (None, _pointer),
    "rd_kafka_topic_partition_list_new": (_pointer, _int),
    "rd_kafka_topic_partition_list_add": (_pointer, _pointer, _text, _int32),
    "rd_kafka_topic_partition_list_set_offset": (_int, _pointer, _text, _int32, _int64),
    "rd_kafka_topic_partition_list_destroy": (None, _pointer),
    "rd_kafka_incremental_assign": (_pointer, _pointer, _pointer),
    "rd_kafka_incremental_unassign": (_pointer, _pointer, _pointer),
    "rd_kafka_pause_partitions": (_int, _pointer, _pointer),
    "rd_kafka_resume_partitions": (_int, _pointer, _pointer),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, _pointer, _int, _pointer, _size),
    "rd_kafka_message_errstr": (_text, _pointer),
    "rd_kafka_message_timestamp": (_int64, _pointer, _pointer),
    "rd_kafka_message_destroy": (None, _pointer),
    "rd_kafka_produce": (_int, _pointer, _int32, _int, _pointer, _size, _pointer, _size, _pointer),
    "rd_kafka_produceva": (_pointer, _pointer, _pointer, _size),
    "rd_kafka_poll": (_int, _pointer, _int),
    "rd_kafka_flush": (_int, _pointer, _int),
    "rd_kafka_outq_len": (_int, _pointer),
    "rd_kafka_purge": (_int, _pointer, _int),
    "rd_kafka_init_transactions": (_pointer, _pointer, _int),
    "rd_kafka_begin_transaction": (_pointer, _pointer),
    "rd_kafka_send_offsets_to_transaction": (_pointer, _pointer, _pointer, _pointer, _int),
    "rd_kafka_commit_transaction": (_pointer, _pointer, _int),
    "rd_kafka_abort_transaction": (_pointer, _pointer, _int),
    "rd_kafka_consumer_group_metadata_read": (_pointer, _pointer, _pointer, _size),
    "rd_kafka_consumer_group_metadata_destroy": (None, _pointer),
}

# A wheel's copy has a hash in its name (librdkafka-0cb94173.so.1); librdkafka++ is another library.
_FILE_NAME: Final = re.compile(r"librdkafka([-.]\w+)?\.(so|dylib)(\.\d+)*")

_Found = TypeVar("_Found")


class NoCBatches(Exception):
    """Batches cannot be taken through the C interface here; the message says why."""


@cache
def librdkafka() -> ctypes.CDLL:
    """Return confluent-kafka's own librdkafka, its functions declared. Raises NoCBatches.

    >>> library = librdkafka()
    >>> library.rd_kafka_version() == confluent_kafka.libversion()[1]
    True
    """
    if sys.platform == "win32":
        raise NoCBatches("on Windows librdkafka is not found by its file")
    if ctypes.sizeof(_pointer) != 8:
        raise NoCBatches("the layout of messages is known for 64-bit processors alone")
    version, number = confluent_kafka.libversion()
    if number >> 24 != MAJOR_VERSION:
        raise NoCBatches(f"librdkafka is {version}; the layout of messages is known for {MAJOR_VERSION}.x")
    looked_at: list[str] = []
    for path in _candidates():
        looked_at.append(str(path))
        try:
            # NOLOAD: only what is loaded already, so there is never a second one in this process.
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue  # another copy; confluent-kafka's own may come behind it
        _declare(library)
        if library.rd_kafka_version() != number:
            raise NoCBatches(
                f"{path} is version {library.rd_kafka_version():#010x}, confluent-kafka's is {number:#010x}"
            )
        return library
    raise NoCBatches(f"confluent-kafka's librdkafka was not found; looked at {looked_at or 'nothing'}")


def address_of(function: Any) -> int:
    """Return where a C function lies, for a kernel to call it."""
    address = ctypes.cast(function, _pointer).value
    assert address is not None
    return address


def new_handle(
    library: ctypes.CDLL, kind: int, settings: Settings, events: int = 0, on_delivery: int | None = None
) -> int:
    """Return a new client handle (``rd_kafka_new``) that has no callbacks but the one that is named.

    Parameters
    ----------
    kind
        ``PRODUCER`` or ``CONSUMER``.
    events
        What to bring as events in place of callbacks (``rd_kafka_conf_set_events``).
    on_delivery
        Address of what is called with delivery reports, while the handle is polled and at no other time.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting.
    """
    said = ctypes.create_string_buffer(_MESSAGE_BYTES)
    configuration = library.rd_kafka_conf_new()
    handle: int | None = None
    try:
        # A plugin has to be there before the settings that it takes.
        for name in sorted(settings, key=lambda name: name != "plugin.library.paths"):
            value = settings[name]
            written = str(value).lower() if isinstance(value, bool) else str(value)
            arguments = (name.encode(), written.encode(), said, _MESSAGE_BYTES)
            if library.rd_kafka_conf_set(configuration, *arguments) != _OKAY:
                raise _refused(said)
        library.rd_kafka_conf_set_events(configuration, events)
        if on_delivery is not None:
            library.rd_kafka_conf_set_dr_msg_cb(configuration, on_delivery)
        handle = library.rd_kafka_new(kind, configuration, said, _MESSAGE_BYTES)
        if handle is None:
            raise _refused(said)
        return handle
    finally:
        if handle is None:  # else it belongs to the handle
            library.rd_kafka_conf_destroy(configuration)


@contextmanager
def partition_list(
    library: ctypes.CDLL, partitions: Mapping[TopicPartition, int] | Sequence[TopicPartition]
) -> Iterator[int]:
    """Provide an ``rd_kafka_topic_partition_list_t`` of these, with their offsets where a mapping gives them."""
    made = existing(library.rd_kafka_topic_partition_list_new(len(partitions)))
    try:
        for topic, partition in partitions:
            library.rd_kafka_topic_partition_list_add(made, topic.encode(), partition)
        if isinstance(partitions, Mapping):
            for (topic, partition), offset in partitions.items():
                library.rd_kafka_topic_partition_list_set_offset(made, topic.encode(), partition, offset)
        yield made
    finally:
        library.rd_kafka_topic_partition_list_destroy(made)


def check_code(library: ctypes.CDLL, code: int) -> None:
    """Raise KafkaException where an ``rd_kafka_resp_err_t`` is an error."""
    if code != _OKAY:
        raise KafkaException(KafkaError(code, library.rd_kafka_err2str(code).decode()))


def check_error(library: ctypes.CDLL, error: int | None) -> None:
    """Raise KafkaException where there is an ``rd_kafka_error_t``, and destroy it."""
    if error is None:
        return
    raised = KafkaError(
        library.rd_kafka_error_code(error),
        library.rd_kafka_error_string(error).decode(),
        bool(library.rd_kafka_error_is_fatal(error)),
        bool(library.rd_kafka_error_is_retriable(error)),
        bool(library.rd_kafka_error_txn_requires_abort(error)),
    )
    library.rd_kafka_error_destroy(error)
    raise KafkaException(raised)


def existing(made: _Found | None) -> _Found:
    """Return what librdkafka made; that it made nothing is an error of the program."""
    assert made is not None, "librdkafka made nothing"
    return made


def _refused(said: ctypes.Array[ctypes.c_char]) -> ConfigError:
    return ConfigError(
        f"source.kafka.properties: {said.value.decode(errors='replace')}",
        remedy="see librdkafka's CONFIGURATION.md for the names and the values that it takes",
    )


def _candidates() -> Iterator[Path]:
    """Where it may lie: among the files of the installed wheel, then (Linux) whatever is mapped."""
    try:
        installed = files("confluent-kafka") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if _FILE_NAME.fullmatch(file.name):
            yield Path(str(file.locate()))
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = dict.fromkeys(line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines())
        for name in mapped:
            if _FILE_NAME.fullmatch(Path(name).name):
                yield Path(name)


def _declare(library: ctypes.CDLL) -> None:
    for name, (result, *arguments) in _PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise NoCBatches(f"librdkafka has no function {name}") from error
        function.restype, function.argtypes = result, arguments

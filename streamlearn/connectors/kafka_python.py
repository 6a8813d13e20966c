"""Kafka through kafka-python: for where no librdkafka wheel exists, and as independent eyes in tests.

The same contracts as on confluent-kafka, at a fraction of the speed.
"""

from streamlearn.connectors.kafka_python_member import KafkaPythonMember
from streamlearn.connectors.kafka_python_reader import KafkaPythonReader

__all__ = ["KafkaPythonMember", "KafkaPythonReader"]

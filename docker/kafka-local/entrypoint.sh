#!/usr/bin/env bash
# Environment -> server.properties -> Kafka, as the apache/kafka image does it: KAFKA_LOG_DIRS becomes
# log.dirs; two underscores stand for one, three for a dash. What is not set is as in SETTINGS.
set -euo pipefail

declare -A SETTINGS=(
    [node.id]=1
    [process.roles]=broker,controller
    [listeners]=PLAINTEXT://:9092,CONTROLLER://:9093
    [advertised.listeners]=PLAINTEXT://localhost:9092
    [controller.listener.names]=CONTROLLER
    [controller.quorum.voters]=1@localhost:9093
    [listener.security.protocol.map]=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
    [log.dirs]=/var/lib/kafka/data
    [offsets.topic.replication.factor]=1
    [transaction.state.log.replication.factor]=1
    [transaction.state.log.min.isr]=1
    [share.coordinator.state.topic.replication.factor]=1
    [share.coordinator.state.topic.min.isr]=1
)

# Of these Java is told, not the broker.
NO_SETTINGS=" KAFKA_HEAP_OPTS KAFKA_OPTS KAFKA_JVM_PERFORMANCE_OPTS KAFKA_LOG4J_ROOT_LOGLEVEL KAFKA_VERSION "

for name in $(compgen -e KAFKA_); do
    if [[ $NO_SETTINGS == *" $name "* ]]; then continue; fi
    key=${name#KAFKA_}
    key=${key,,}
    key=${key//___/-}
    key=${key//__/$'\x01'}
    key=${key//_/.}
    SETTINGS[${key//$'\x01'/_}]=${!name}
done

config=/opt/kafka/config/server.properties
for key in "${!SETTINGS[@]}"; do
    printf '%s=%s\n' "$key" "${SETTINGS[$key]}"
done | sort > "$config"

# Unquoted on purpose: these hold several options each.
# shellcheck disable=SC2206
java=(java ${KAFKA_HEAP_OPTS:--Xmx1g} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:TieredStopAtLevel=1 -XX:+UseSerialGC}
    ${KAFKA_OPTS:-} -Dlog4j2.level="${KAFKA_LOG4J_ROOT_LOGLEVEL:-WARN}" -cp '/opt/kafka/libs/*')

"${java[@]}" kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" --config "$config"
exec "${java[@]}" kafka.Kafka "$config"

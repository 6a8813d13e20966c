#!/bin/sh
# Makes the topics of docker/stream.toml where they are missing, as soon as the broker answers that
# STREAMLEARN_BOOTSTRAP_SERVERS names: writing nothing to a topic makes it.
set -eu
for topic in flights flights-predictions; do
    until streamlearn produce "$topic" --file /dev/null --partitions 4; do
        sleep 1
    done
done

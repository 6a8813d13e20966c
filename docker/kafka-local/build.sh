#!/usr/bin/env bash
# Builds the image streamlearn/kafka-local: docker/kafka-local/build.sh [BASE_IMAGE]
# PYTHON names a Python that has streamlearn; it verifies the jars, and fetches them the first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}

context=$(mktemp --directory)
trap 'rm -rf "$context"' EXIT
mkdir "$context/jars"
cp "$here/Dockerfile" "$here/entrypoint.sh" "$context"
"$python" - "$context/jars" <<'PYTHON'
import shutil
import sys

from streamlearn.connectors import kafka_jars
from streamlearn.environment import Environment

for jar in kafka_jars.class_path(Environment().cache_folder, report=lambda line: print(line, file=sys.stderr)):
    shutil.copy(jar, sys.argv[1])
PYTHON
docker build --tag streamlearn/kafka-local --build-arg "BASE=${1:-debian:bookworm-slim}" "$context"

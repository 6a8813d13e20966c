"""The stack fits together: compose, the config, Prometheus, Grafana, and the page that explains them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import program

from streamlearn.config import Config
from streamlearn.config_file import load
from streamlearn.environment import Environment

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("topics", "producer", "daemon")  # run the image of the checkout
ONE_SHOTS = ("topics", "producer")
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
REFERENCE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def mounts(service: str) -> list[tuple[str, str]]:
    """Source and target of each volume of a service."""
    return [
        (source, target)
        for source, target, *_ in (v.split(":") for v in SERVICES[service].get("volumes", []))
    ]


def stack_config() -> Config:
    return load(DOCKER / "stream.toml", environment=SERVICES["daemon"]["environment"])


# --------------------------------------------------------------------------------------- compose


def test_it_has_the_services_that_the_manual_promises() -> None:
    assert set(SERVICES) == {"kafka", *OURS, "prometheus", "grafana"}


def test_every_port_is_published_on_the_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{STREAMLEARN_\w+_PORT:-\d+\}:\d+", port), port


def test_no_service_can_gain_rights() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert service.get("user") != "root", name
    for name in OURS:
        assert SERVICES[name]["read_only"] is True, name
        assert "/tmp" in SERVICES[name]["tmpfs"], name


def test_no_container_leaves_a_nameless_volume_behind() -> None:
    for name in OURS:
        places = {target for _, target in mounts(name)} | set(SERVICES[name]["tmpfs"])
        assert "/var/lib/streamlearn" in places, name


def test_what_goes_on_running_is_restarted_and_what_ends_is_not() -> None:
    for name, service in SERVICES.items():
        assert service.get("restart", "no") == ("no" if name in ONE_SHOTS else "unless-stopped"), name


def test_every_service_that_goes_on_running_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        if name in ONE_SHOTS:
            assert service["healthcheck"] == {"disable": True}, (
                f"{name} would ask a port that it does not open"
            )
        elif name == "daemon":
            assert "healthcheck" not in service, "it would hide the image's own"
        else:
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_the_daemon_waits_for_the_broker_and_its_topics() -> None:
    made = {"topics": {"condition": "service_completed_successfully"}}
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["daemon"]["depends_on"] == made
    assert SERVICES["producer"]["depends_on"] == made


def test_the_daemon_has_longer_to_stop_than_it_takes() -> None:
    assert int(SERVICES["daemon"]["stop_grace_period"].removesuffix("s")) > 10


def test_every_variable_has_a_default_and_stands_in_the_manual() -> None:
    used = dict(REFERENCE.findall(COMPOSE_TEXT))
    assert all(used.values()), "a stack without any variable set must start"
    unexplained = re.sub(REFERENCE, "", COMPOSE_TEXT).replace("$$", "")
    assert "$" not in unexplained, "a variable without a default"
    manual = (ROOT / "docs" / "stack.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"(?m)^\| `(STREAMLEARN_\w+)` \| `([^`]+)` \|", manual))
    assert written == used


def test_variables_that_streamlearn_reads_are_spelled_as_it_spells_them() -> None:
    known = {name.upper() for name in Environment.model_fields}
    for name in OURS:
        passed = {key for key in SERVICES[name].get("environment", {}) if key.startswith("STREAMLEARN_")}
        assert passed <= known, name


def test_kafka_is_the_one_that_the_tests_use() -> None:
    default = Environment.model_fields["streamlearn_kafka_image"].default
    assert dict(REFERENCE.findall(COMPOSE_TEXT))["STREAMLEARN_KAFKA_IMAGE"] == default


def test_every_image_has_a_version() -> None:
    for name, service in SERVICES.items():
        image = REFERENCE.sub(r"\2", service["image"])
        assert re.search(r":(?!latest)[\w.-]+$", image), (name, image)


def test_every_mounted_file_and_volume_exists() -> None:
    for name in SERVICES:
        for source, _ in mounts(name):
            if source.startswith("."):
                assert (DOCKER / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
    used = {source for name in SERVICES for source, _ in mounts(name)}
    assert set(COMPOSE["volumes"]) <= used


def test_build_arguments_are_those_of_the_dockerfile() -> None:
    build = SERVICES["daemon"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    assert set(build["args"]) <= set(re.findall(r"(?m)^ARG (\w+)", DOCKERFILE))


def test_kafka_tells_each_client_the_address_that_it_can_reach() -> None:
    settings = SERVICES["kafka"]["environment"]
    host, port = re.search(r"STACK://(\w+):(\d+)", settings["KAFKA_ADVERTISED_LISTENERS"]).groups()  # type: ignore[union-attr]
    assert host in SERVICES
    assert f"STACK://:{port}" in settings["KAFKA_LISTENERS"]
    for name in OURS:
        assert f"{host}:{port}" in SERVICES[name]["environment"].values(), name
    on_host = re.search(r"HOST://127\.0\.0\.1:(\S+)", settings["KAFKA_ADVERTISED_LISTENERS"]).group(1)  # type: ignore[union-attr]
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{on_host}:9092"]


# --------------------------------------------------------------------------------- the daemon's config


def test_the_config_is_valid_with_what_compose_passes() -> None:
    config = stack_config()
    assert config.source.kafka is not None
    assert (
        config.source.kafka.bootstrap_servers == SERVICES["daemon"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    )
    assert ("./stream.toml", "/etc/streamlearn/stream.toml") in mounts("daemon")
    assert 'CMD ["run", "/etc/streamlearn/stream.toml"]' in DOCKERFILE


def test_topics_are_made_for_all_that_the_config_names() -> None:
    config = stack_config()
    wanted = set(config.topics)
    wanted |= {
        each.topic for each in (config.predictions, config.dead_letters) if each is not None and each.topic
    }
    assert SERVICES["topics"]["entrypoint"] == ["sh", "/etc/streamlearn/topics.sh"]
    assert mounts("topics") == [("./topics.sh", "/etc/streamlearn/topics.sh")]
    (made,) = re.findall(r"for topic in (.*); do", (DOCKER / "topics.sh").read_text(encoding="utf-8"))
    assert set(made.split()) == wanted
    assert SERVICES["producer"]["command"][1] in config.topics


def test_what_it_writes_lies_in_a_volume() -> None:
    config = stack_config()
    assert ("daemon-state", "/var/lib/streamlearn") in mounts("daemon")
    assert "WORKDIR /var/lib/streamlearn" in INSTRUCTIONS
    for path in (config.checkpoint.path, config.dead_letters.path):
        assert not Path(path).is_absolute()


def test_ports_agree() -> None:
    config = stack_config()
    assert config.http.host == "0.0.0.0"
    assert SERVICES["daemon"]["ports"][0].endswith(f":{config.http.port}")
    assert f"EXPOSE {config.http.port}" in INSTRUCTIONS
    assert f"'127.0.0.1', {config.http.port}, " in DOCKERFILE


def test_the_stream_is_the_demos() -> None:
    # Apart from addresses and places, so that what was learned from one is known of the other.
    demo = tomllib.loads((ROOT / "streamlearn" / "demo" / "flights.toml").read_text(encoding="utf-8"))
    stack = tomllib.loads((DOCKER / "stream.toml").read_text(encoding="utf-8"))
    for section in ("stream", "event", "models", "predictions"):
        assert stack[section] == demo[section], section


# ---------------------------------------------------------------------------- Prometheus and Grafana


def test_prometheus_asks_the_daemon() -> None:
    def targets(name: str) -> list[str]:
        config = yaml.safe_load((DOCKER / "prometheus" / name).read_text(encoding="utf-8"))
        (job,) = config["scrape_configs"]
        return list(job["static_configs"][0]["targets"])

    port = stack_config().http.port
    assert targets("prometheus.yml") == [f"daemon:{port}"]
    assert targets("local.yml") == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize("name", ["prometheus.yml", "local.yml"])
def test_prometheus_takes_its_config(name: str) -> None:
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "config", str(DOCKER / "prometheus" / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_prometheus_loads_every_rule_file() -> None:
    rules = sorted((DOCKER / "prometheus" / "rules").glob("*.yml"))
    assert rules
    assert ("./prometheus/rules", "/etc/prometheus/rules") in mounts("prometheus")
    for name in ("prometheus.yml", "local.yml"):
        config = yaml.safe_load((DOCKER / "prometheus" / name).read_text(encoding="utf-8"))
        assert config["rule_files"] == ["rules/*.yml"]
        (job,) = config["scrape_configs"]
        assert job["job_name"] == "streamlearn", "StreamlearnDaemonAbsent looks for this job"


def test_grafana_serves_the_runbooks_where_the_dashboards_say() -> None:
    assert ("../docs/runbooks", "/usr/share/grafana/public/runbooks") in mounts("grafana")
    for path in (ROOT / "grafana").glob("*.json"):
        assert '"/public/runbooks"' in path.read_text(encoding="utf-8"), path.name


def test_grafana_finds_its_data_source_and_dashboards() -> None:
    provisioning = DOCKER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())["global"][
        "scrape_interval"
    ]
    assert source["jsonData"]["timeInterval"] == scraped, "or rates would be taken over too short a time"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "streamlearn.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert ("../grafana", folder) in mounts("grafana")
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(folder)
    assert (ROOT / "grafana" / home.name).exists()


def test_grafana_lets_nobody_change_anything() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true", "or admin/admin could log in"

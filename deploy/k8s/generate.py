"""`python -m deploy.k8s.generate [--check]`: manifests that follow from other files of the project.

`components/topics-strimzi/topics.yaml` has a KafkaTopic for each row of `schemas/topics.py`;
`components/monitoring/rules.yaml` is a PrometheusRule of all groups in `deploy/prometheus/rules`. Both are
committed. `--check` writes nothing and exits with 1, naming what differs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas.topics import TOPICS, Topic
from services.chassis.topics import topic_configs

HERE = Path(__file__).parent
RULES = HERE.parent / "prometheus" / "rules"
REPLICAS = 3
MIN_INSYNC_REPLICAS = 2
_HEAD = "# Generated from {}; write it anew with: make manifests\n"


def kafka_topic(topic: Topic) -> dict[str, Any]:
    """Return Strimzi's resource of a topic (kafka.strimzi.io/v1; the topic's name is the resource's)."""
    configs: dict[str, Any] = {**topic_configs(topic), "min.insync.replicas": MIN_INSYNC_REPLICAS}
    configs["retention.ms"] = int(configs["retention.ms"])
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {
            "name": topic.name,
            "labels": {"strimzi.io/cluster": "parley", "app.kubernetes.io/name": "parley"},
        },
        "spec": {"partitions": topic.partitions, "replicas": REPLICAS, "config": configs},
    }


def prometheus_rule(files: Sequence[Path]) -> dict[str, Any]:
    """Return the Prometheus Operator's resource of all rule groups, file by file in order of their names."""
    groups = [group for file in sorted(files) for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "parley", "labels": {"app.kubernetes.io/name": "parley"}},
        "spec": {"groups": groups},
    }


def documents() -> dict[Path, str]:
    """Return the text of every generated file, by its path below `deploy/k8s`."""
    return {
        Path("components/topics-strimzi/topics.yaml"): _HEAD.format("schemas/topics.py")
        + yaml.safe_dump_all(map(kafka_topic, TOPICS), sort_keys=False),
        Path("components/monitoring/rules.yaml"): _HEAD.format("deploy/prometheus/rules")
        + yaml.safe_dump(prometheus_rule(list(RULES.glob("*.yaml"))), sort_keys=False, width=110),
    }


def drift(root: Path = HERE) -> list[Path]:
    """Return the files below `root` that are missing or differ."""
    return [
        path
        for path, text in documents().items()
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` only compare; returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python -m deploy.k8s.generate [--check]\n")
        return 2
    drifted = drift()
    for path in drifted:
        if arguments:
            sys.stderr.write(f"deploy/k8s/{path}: differs from its source; run `make manifests`\n")
        else:
            (HERE / path).write_text(documents()[path], encoding="utf-8")
    return 1 if drifted and arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

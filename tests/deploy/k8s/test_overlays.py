"""What differs between the overlays, and what the parts around the services promise."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from deploy.local.up import SERVICES
from schemas.topics import PARTITIONS, TOPICS
from services.chassis.settings import TopicSettings
from tests.deploy.k8s.rendered import OVERLAYS, container_of, name_of, of_kind, rendered, variables_of

CLUSTERS = ("staging", "prod")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_pods_run_one_image_pinned_to_a_version(overlay: str) -> None:
    images = {container_of(each)["image"] for each in of_kind(overlay, "Deployment", "Job")}
    assert len(images) == 1
    assert re.fullmatch(
        r"([a-z0-9.-]+/)*parley:\d+\.\d+\.\d+(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?", images.pop()
    )


def test_the_overlays_differ_where_environments_do() -> None:
    def traits(overlay: str) -> tuple[str, str, str, object]:
        first = of_kind(overlay, "Deployment")[0]
        host = of_kind(overlay, "Ingress")[0]["spec"]["rules"][0]["host"]
        container = container_of(first)
        return first["metadata"]["namespace"], host, container["image"], str(container["resources"])

    for each in zip(*map(traits, OVERLAYS), strict=True):
        assert len(set(each)) == len(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_providers_are_told_the_address_that_the_ingress_serves(overlay: str) -> None:
    (ingress,) = of_kind(overlay, "Ingress")
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    url = urlsplit(variables_of(overlay, of_kind(overlay, "Deployment")[0])["PUBLIC_URL"])
    assert {url.hostname} == hosts
    assert (url.scheme == "https") == bool(ingress["spec"].get("tls"))
    assert all(set(entry["hosts"]) == hosts for entry in ingress["spec"].get("tls", ()))


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_strimzi_s_topics_are_those_of_the_contract(overlay: str) -> None:
    assert of_kind(overlay, "Job") == []
    found = {
        name_of(each): (
            each["spec"]["partitions"],
            each["spec"]["config"]["retention.ms"],
            each["spec"]["config"]["cleanup.policy"],
        )
        for each in of_kind(overlay, "KafkaTopic")
    }
    assert found == {
        topic.name: (
            topic.partitions,
            -1 if topic.retention is None else topic.retention / timedelta(milliseconds=1),
            "compact" if topic.compact else "delete",
        )
        for topic in TOPICS
    }
    for each in of_kind(overlay, "KafkaTopic"):
        assert (each["spec"]["replicas"], each["spec"]["config"]["min.insync.replicas"]) == (3, 2)


def test_without_strimzi_a_job_makes_them_with_settings_that_the_command_knows() -> None:
    assert of_kind("dev", "KafkaTopic") == []
    (job,) = of_kind("dev", "Job")
    assert container_of(job)["args"] == ["services.chassis.topics"]
    variables = variables_of("dev", job)
    assert set(variables) <= {name.upper() for name in TopicSettings.model_fields}
    settings = TopicSettings(**{name.lower(): value for name, value in variables.items()})  # type: ignore[arg-type]
    assert settings.topic_wait_seconds < job["spec"]["activeDeadlineSeconds"] / job["spec"]["backoffLimit"]


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_more_than_one_replica_serves_while_another_restarts(overlay: str) -> None:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each for each in of_kind(overlay, "HorizontalPodAutoscaler")
    }
    for made in of_kind(overlay, "Deployment"):
        if (scaler := scaled.pop(name_of(made), None)) is not None:
            assert "replicas" not in made["spec"], "an apply would undo the scaler's number"
            assert 1 < scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"] <= PARTITIONS
        else:
            assert made["spec"]["replicas"] > 1
    assert scaled == {}, "scales what does not exist"
    for budget in of_kind(overlay, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_the_network_lets_through_what_the_services_need(overlay: str) -> None:
    (policy,) = of_kind(overlay, "NetworkPolicy")
    incoming = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    outgoing = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    made = of_kind(overlay, "Deployment")
    assert incoming == {port["containerPort"] for each in made for port in container_of(each)["ports"]}
    for each in made:
        variables = variables_of(overlay, each)
        brokers = {
            int(server.rpartition(":")[2]) for server in variables["KAFKA_BOOTSTRAP_SERVERS"].split(",")
        }
        databases = {int(port) for port in re.findall(r":(\d+)[,/]", variables["MONGO_URL"])}
        issuer = urlsplit(variables["JWKS_URL"])
        assert brokers | databases | {issuer.port or 443} <= outgoing
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in made]
    assert all(policy["spec"]["podSelector"]["matchLabels"].items() <= each.items() for each in labels)


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_prometheus_finds_every_service_under_its_name(overlay: str) -> None:
    (monitor,) = of_kind(overlay, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [each for each in of_kind(overlay, "Service") if wanted <= each["metadata"]["labels"].items()]
    assert {each["metadata"]["labels"][monitor["spec"]["jobLabel"]] for each in found} == set(SERVICES)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in each["spec"]["ports"]} for each in found)


def test_no_secret_of_a_cluster_is_in_the_repository() -> None:
    assert [each for overlay in CLUSTERS for each in rendered(overlay) if each["kind"] == "Secret"] == []

"""What the manifests of the five services mean: errors that a schema can't see."""

import importlib
import json
from functools import cache
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, codes

from deploy.local.up import SERVICES
from services.chassis.accounts import Accounts
from services.chassis.inboxes import load_inboxes
from services.chassis.service import CHECK_SECONDS, CLOSE_SECONDS, HTTP_DRAIN_SECONDS, LEAVE_SECONDS
from services.conversation.rules_file import RulesFile
from services.conversation.wording import Wordings
from services.router.domain.policy import Policy
from services.router.policies import load as load_policies
from tests.deploy.dockerfile import stages
from tests.deploy.k8s.rendered import (
    OVERLAYS,
    Resource,
    container_of,
    mounted_of,
    name_of,
    of_kind,
    pod_of,
    variables_of,
)
from tests.deploy.variables import drain_seconds, known_to
from tests.servers.stack import ROOT

MARGIN_SECONDS = 5.0
"""For a slow node."""
IMAGE = {
    name: value
    for step in stages()["common"][1]
    if step.name == "ENV"
    for name, _, value in (pair.partition("=") for pair in step.value.split())
}
USER = next(step.value for step in stages()["runtime"][1] if step.name == "USER")
EACH = [(overlay, name) for overlay in OVERLAYS for name in SERVICES]


def deployment(overlay: str, service: str) -> Resource:
    return next(each for each in of_kind(overlay, "Deployment") if name_of(each) == service)


@cache
def app_of(service: str) -> FastAPI:
    app: FastAPI = importlib.import_module(f"services.{service}.app").build_app()
    return app


def labels_of(resource: Resource) -> dict[str, str]:
    return dict(resource["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_there_is_one_deployment_for_each_service(overlay: str) -> None:
    commands = {name_of(each): container_of(each)["args"] for each in of_kind(overlay, "Deployment")}
    assert commands == {name: [f"services.{name}"] for name in SERVICES}


@pytest.mark.parametrize(("overlay", "service"), EACH)
def test_every_variable_is_a_setting_and_its_value_is_taken(overlay: str, service: str) -> None:
    variables = variables_of(overlay, deployment(overlay, service))
    assert set(variables) <= known_to(f"services.{service}")
    module = importlib.import_module(f"services.{service}.settings")
    kind = getattr(module, f"{service.capitalize()}Settings")
    settings = kind(**{name.lower(): value for name, value in variables.items()})
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "MONGO_URL", "JWKS_URL", "PUBLIC_URL"):
        assert "127.0.0.1" not in variables[name], "the default is for one machine"
    assert settings.forwarded_allow_ips != "*", "then any caller could say who it is"


@pytest.mark.parametrize(("overlay", "service"), EACH)
async def test_probes_ask_for_routes_that_exist_and_wait_long_enough(overlay: str, service: str) -> None:
    container = container_of(deployment(overlay, service))
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    async with AsyncClient(transport=ASGITransport(app_of(service)), base_url="http://pod") as client:
        for probe in probes.values():
            answer = await client.request("DELETE", probe["httpGet"]["path"])
            assert answer.status_code == codes.METHOD_NOT_ALLOWED, "404 where there is no route"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {ports[probe["httpGet"]["port"]] for probe in probes.values()} == {int(IMAGE["PORT"])}
    assert probes["readiness"]["httpGet"]["path"] != probes["liveness"]["httpGet"]["path"]
    assert probes["readiness"]["timeoutSeconds"] > CHECK_SECONDS


@pytest.mark.parametrize(("overlay", "service"), EACH)
def test_a_pod_drains_within_its_grace_period_after_proxies_have_let_go(overlay: str, service: str) -> None:
    made = deployment(overlay, service)
    before = container_of(made)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before >= 5
    stopping = HTTP_DRAIN_SECONDS + drain_seconds(variables_of(overlay, made)) + LEAVE_SECONDS + CLOSE_SECONDS
    needed = before + stopping + MARGIN_SECONDS
    assert needed <= pod_of(made)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(("overlay", "name"), [*EACH, ("dev", "topics")])
def test_a_pod_may_do_nothing_it_does_not_need(overlay: str, name: str) -> None:
    made = next(each for each in of_kind(overlay, "Deployment", "Job") if name_of(each) == name)
    pod, container = pod_of(made), container_of(made)
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == USER
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for amounts in (container["resources"]["requests"], container["resources"]["limits"]):
        assert amounts.keys() == {"cpu", "memory"}


@pytest.mark.parametrize(("overlay", "service"), EACH)
def test_selectors_and_budget_are_about_the_service_s_own_pods(overlay: str, service: str) -> None:
    labels = labels_of(deployment(overlay, service))
    others = [labels_of(deployment(overlay, name)) for name in SERVICES if name != service]
    selectors = [deployment(overlay, service)["spec"]["selector"]["matchLabels"]]
    selectors += [
        each["spec"]["selector"] for each in of_kind(overlay, "Service") if name_of(each) == service
    ]
    selectors += [
        each["spec"]["selector"]["matchLabels"]
        for each in of_kind(overlay, "PodDisruptionBudget")
        if name_of(each) == service
    ]
    assert len(selectors) == 3
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)


@pytest.mark.parametrize(("overlay", "service"), EACH)
def test_files_that_a_service_reads_are_mounted_where_the_image_looks_and_can_be_used(
    overlay: str, service: str, tmp_path: Path
) -> None:
    source = (ROOT / "services" / service / "app.py").read_text()
    wanted = {
        IMAGE[variable]
        for variable in ("ACCOUNTS_FILE", "AGENTS_FILE", "ROUTING_FILE", "RULES_FILE")
        if f"settings.{variable.lower()}" in source
    }
    mounted = mounted_of(overlay, deployment(overlay, service))
    whole = "AccountsFile(" in source  # of what conversation reads secrets are no part
    assert mounted.keys() >= wanted if whole else mounted.keys() == wanted
    for path, text in mounted.items():
        (tmp_path / Path(path).name).write_text(text)
    for path in wanted:
        file = tmp_path / Path(path).name
        if path == IMAGE["AGENTS_FILE"]:
            assert load_inboxes(file)
        elif path == IMAGE["RULES_FILE"]:
            assert RulesFile(file, load_inboxes(tmp_path / "agents.yaml")).rules.rules
        elif path == IMAGE["ROUTING_FILE"]:
            assert load_policies(file, load_inboxes(tmp_path / Path(IMAGE["AGENTS_FILE"]).name), Policy())
        elif whole:
            assert list(Accounts.load(file))
        else:
            Wordings(file)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_public_path_leads_to_the_service_that_serves_it(overlay: str) -> None:
    (ingress,) = of_kind(overlay, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    services = {name_of(each): each["spec"]["ports"] for each in of_kind(overlay, "Service")}
    seen = set()
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        routes = app_of(backend["name"]).openapi()["paths"]
        assert all(route.startswith(path["path"] + "/") for route in routes)
        assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]}
        seen.add(backend["name"])
    assert seen == set(SERVICES)
    public = json.dumps(ingress)
    assert not any(word in public for word in ("metrics", "livez", "readyz", ".invalid"))

"""The overlays as an operator applies them: rendered by `kubectl kustomize`, or by kustomize itself."""

import base64
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from tests.servers.stack import ROOT

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("dev", "staging", "prod")

Resource = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Resource, ...]:
    """Return all resources of an overlay. Raises FileNotFoundError where there is nothing to render with."""
    command = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    if shutil.which(command[0]) is None:
        message = "neither kubectl nor kustomize is installed; .ci/run shows how to get one"
        raise FileNotFoundError(message)
    done = subprocess.run(  # noqa: S603 - our own manifests
        [*command, str(K8S / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Resource]:
    """Return the overlay's resources of `kinds`."""
    return [resource for resource in rendered(overlay) if resource["kind"] in kinds]


def name_of(resource: Resource) -> str:
    """Return its name."""
    return str(resource["metadata"]["name"])


def pod_of(resource: Resource) -> Resource:
    """Return the pod template's spec of a Deployment or Job."""
    return dict(resource["spec"]["template"]["spec"])


def container_of(resource: Resource) -> Resource:
    """Return the one container of a Deployment or Job."""
    (container,) = pod_of(resource)["containers"]
    return dict(container)


@cache
def files_of(overlay: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return contents by (kind, name) of all ConfigMaps and Secrets, those included that operators bring."""
    example = list(yaml.safe_load_all((K8S / "secrets.example.yaml").read_text()))
    rendered_ones = of_kind(overlay, "ConfigMap", "Secret")
    brought = [] if any(one["kind"] == "Secret" for one in rendered_ones) else example
    return {(one["kind"], name_of(one)): dict(_contents(one)) for one in (*rendered_ones, *brought)}


def _contents(resource: Resource) -> Iterator[tuple[str, str]]:
    yield from resource.get("stringData", {}).items()
    for name, value in resource.get("data", {}).items():
        yield name, base64.b64decode(value).decode() if resource["kind"] == "Secret" else value


def variables_of(overlay: str, resource: Resource) -> dict[str, str]:
    """Return the environment of a Deployment's or Job's container; raises KeyError for a lost reference."""
    files, container = files_of(overlay), container_of(resource)
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= files["ConfigMap", source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        else:
            secret = variable["valueFrom"]["secretKeyRef"]
            values = files["Secret", secret["name"]]
            if secret["key"] in values or not secret.get("optional"):
                found[variable["name"]] = values[secret["key"]]
    return found


def mounted_of(overlay: str, resource: Resource) -> dict[str, str]:
    """Return the text of every file that is mounted, by its path; raises KeyError for a lost reference."""
    files = files_of(overlay)
    volumes = {volume["name"]: volume for volume in pod_of(resource).get("volumes", ())}
    found = {}
    for mount in container_of(resource).get("volumeMounts", ()):
        volume = volumes[mount["name"]]
        if "emptyDir" in volume:
            continue
        for source in volume.get("projected", {}).get("sources", [volume]):
            kind, name, items = _source(source)
            for item in items or [{"key": each, "path": each} for each in files[kind, name]]:
                found[f"{mount['mountPath']}/{item['path']}"] = files[kind, name][item["key"]]
    return found


def _source(volume: Resource) -> tuple[str, str, list[dict[str, str]]]:
    """Return kind, name and items (none: all) of what a volume, or a part of one, is filled with."""
    if "configMap" in volume:
        return "ConfigMap", volume["configMap"]["name"], volume["configMap"].get("items", [])
    secret = volume["secret"]
    return "Secret", secret.get("secretName") or secret["name"], secret.get("items", [])

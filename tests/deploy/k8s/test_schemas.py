"""Every rendered resource passes a strict schema: no unknown field, no wrong type."""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.k8s.rendered import OVERLAYS, Resource, name_of, rendered

OLDEST, NEWEST = "1.30", "1.37"
"""`preStop: sleep` is on from 1.30; the newest that the schemas know."""
CUSTOM = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("schemas/*.json")}


def check(resource: Resource, version: str) -> None:
    if resource["kind"] in CUSTOM:
        jsonschema.validate(resource, CUSTOM[resource["kind"]])
    else:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_is_as_its_schema_says(overlay: str, version: str) -> None:
    for resource in rendered(overlay):
        check(resource, version)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_are_unique_and_all_is_in_one_namespace(overlay: str) -> None:
    names = [(resource["kind"], name_of(resource)) for resource in rendered(overlay)]
    assert len(names) == len(set(names))
    assert len({resource["metadata"]["namespace"] for resource in rendered(overlay)}) == 1


def test_the_schemas_refuse_a_field_that_does_not_exist() -> None:
    for kind in ("Deployment", "NetworkPolicy", "KafkaTopic", "ServiceMonitor"):
        resource = next(each for each in rendered("staging") if each["kind"] == kind)
        wrong = resource | {"spec": resource["spec"] | {"terminationGracePeriod": 1}}
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(wrong, NEWEST)

"""The manifests under deploy/: good by Kubernetes' own schemas, and true of this service."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.app import create_app
from server.settings import Settings
from tests.conftest import ROOT

yaml = pytest.importorskip("yaml")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

SCHEMAS = "1.33"
KUBERNETES = ROOT / "deploy" / "kubernetes"
RAY_JOB = {
    "entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec",
}  # fmt: skip
RAY_CLUSTER = {"rayVersion", "authOptions", "enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"}
RAY_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}

Manifest = dict[str, Any]


def manifests(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def live(kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests(KUBERNETES / "live.yaml") if manifest["kind"] == kind]
    return found


def ray_groups() -> list[Manifest]:
    (job,) = manifests(KUBERNETES / "archive.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods() -> Iterator[Manifest]:
    """Every pod that a manifest makes, as a Pod."""
    for template in [live("Deployment")["spec"]["template"], *(group["template"] for group in ray_groups())]:
        metadata = {"name": "x", **template.get("metadata", {})}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def check(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, SCHEMAS, strict=True)


def test_kubernetes_would_take_every_manifest() -> None:
    for manifest in [*manifests(KUBERNETES / "live.yaml"), *pods()]:
        check(manifest)


def test_the_schemas_find_a_misspelt_field() -> None:
    wrong = live("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenessprobe"):
        check(wrong)


def test_the_job_for_ray_has_fields_that_kuberay_knows() -> None:
    """KubeRay's schema is in no package: these are the fields of its API `ray.io/v1` that are used here."""
    (job,) = manifests(KUBERNETES / "archive.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= RAY_JOB
    assert set(job["spec"]["rayClusterSpec"]) <= RAY_CLUSTER
    for group in ray_groups():
        assert set(group) <= RAY_GROUP
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_every_container_has_limits_and_those_of_the_service_probes_that_it_answers() -> None:
    for pod in pods():
        for container in pod["spec"]["containers"]:
            for part in ("requests", "limits"):
                assert set(container["resources"][part]) == {"cpu", "memory"}
    paths = create_app(Settings()).openapi()["paths"]
    (container,) = live("Deployment")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]


def test_the_settings_of_the_service_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = live("Deployment")["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        assert variable["name"].removeprefix("SPICCATO_").lower() in Settings.model_fields
        monkeypatch.setenv(variable["name"], variable.get("value", "a-token-of-sixteen-or-more"))
    settings = Settings()
    grace_s = live("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert settings.drain_ms / 1000 < grace_s
    assert settings.max_sessions == 300


def test_service_budget_and_autoscaler_mean_the_pods_of_the_deployment() -> None:
    deployment = live("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert live("Service")["spec"]["selector"] == labels
    budget = live("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert budget["maxUnavailable"] < live("HorizontalPodAutoscaler")["spec"]["minReplicas"]
    target = live("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_the_command_of_the_job_is_one_of_ours() -> None:
    from typer.testing import CliRunner

    from spiccato.cli import app

    (job,) = manifests(KUBERNETES / "archive.yaml")
    program, command, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("spiccato", "archive")
    told = CliRunner().invoke(app, [command, *arguments, "--help"])
    assert told.exit_code == 0
    mounted = {mount["mountPath"] for mount in ray_groups()[0]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert {arguments[0], arguments[2]} == mounted

"""Checks what operators copy from deploy/, as far as that goes without Docker, Kubernetes or a cloud: `make check-deploy`.

Runs in an environment of its own with the tools of deploy/locks/check.txt. Each check prints a line; the exit status is 1 if any
fails.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_python
import jsonschema
import kubernetes_validate
import yaml

DEPLOY = Path(__file__).resolve().parent
CHART = DEPLOY / "helm" / "xinfer"
ENVIRONMENT = DEPLOY.parent / ".venv"
"""xinfer's own, which `make setup-tests` makes."""
PROMTOOL = ENVIRONMENT / "prometheus" / "usr" / "bin" / "promtool"
KUBERNETES = ("1.28", "1.33")
CRDS = {
    "RayCluster": DEPLOY / "schemas" / "raycluster.json",
    "HTTPRoute": DEPLOY / "schemas" / "httproute.json",
    "ServiceMonitor": DEPLOY / "schemas" / "servicemonitor.json",
    "ScrapeConfig": DEPLOY / "schemas" / "scrapeconfig.json",
    "PrometheusRule": DEPLOY / "schemas" / "prometheusrule.json",
}
SERVICES = (("--launch", "tiny-chat"), ("--join", "10.0.0.1:6379", "--node-ip", "10.0.0.2"))
"""Options of `xinfer start` for a unit of each kind."""

VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "models": [{"model_name": "qwen3", "n_gpu": 1, "engine_args": {"max_num_seqs": 64}}],
        "environment": {"XINFER_LOG_LEVEL": "DEBUG"},
        "environmentSecret": "hugging-face",
        "imagePullSecrets": [{"name": "registry"}],
        "head": {"options": ["--supervisors", "2"], "nodeSelector": {"kind": "cpu"}},
        "workers": [
            {
                "name": "h100",
                "replicas": 2,
                "gpus": 8,
                "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            },
            {
                "name": "l4",
                "replicas": 4,
                "gpus": 1,
                "labels": {"gpu": "L4"},
                "options": ["--no-warm-host"],
                "resources": {"limits": {"memory": "32Gi"}},
            },
        ],
        "cache": {"existingClaim": "weights"},
        "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
        "scrapeConfigs": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
    },
    "nodes that come and go": {
        "models": [{"model_name": "qwen3", "n_gpu": 8, "wait_for_capacity": True, "node_labels": {"gpu": "H100"}}],
        "autoscaling": {"enabled": True},
        "workers": [
            {"name": "h100", "replicas": 0, "maxReplicas": 4, "gpus": 8, "labels": {"gpu": "H100"}},
            {"name": "l4", "replicas": 2},
        ],
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        },
    },
    "bare": {
        "workers": [],
        "rayToken": {"existingSecret": "mine"},
        "keys": {"existingSecret": "keys-of-mine"},
        "head": {"persistence": {"enabled": False}},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
}
WRONG_VALUES: tuple[dict[str, Any], ...] = (
    {"workers": [{"name": "Upper Case", "replicas": 1}]},
    {"head": {"option": []}},
    {"drainSeconds": -1},
    {"models": [{"model_name": "qwen3", "n_gpus": 1}]},
    {"gateway": {"enabled": True}},
)


def main() -> int:
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "Dockerfile (hadolint)": dockerfile,
        "scripts (shellcheck)": scripts,
        "YAML (yamllint)": yaml_files,
        "compose files (compose's schema)": compose,
        "chart (helm lint)": lint,
        "chart's manifests (Kubernetes and KubeRay schemas)": manifests,
        "chart refuses wrong values": wrong_values,
        "chart scrapes what compose's Prometheus does": same_targets,
        "Prometheus: alerts and configuration (promtool)": prometheus,
        "ray up files (Ray's schema)": ray_up,
        "systemd units (systemd-analyze verify)": units,
    }
    failed = False
    for name, check in checks.items():
        problems = list(check())
        failed = failed or bool(problems)
        print(f"{'FAILED' if problems else 'ok':<7}{name}")
        for problem in problems:
            print(f"       {problem}")
    return int(failed)


def dockerfile() -> Iterator[str]:
    yield from _run("hadolint", str(DEPLOY / "docker" / "Dockerfile"))


def scripts() -> Iterator[str]:
    files = [
        DEPLOY / "docker" / "xinfer-in-network",
        DEPLOY / "compose" / "make-secrets",
        *(DEPLOY / "slurm").iterdir(),
    ]
    yield from _run("shellcheck", *map(str, files))


def yaml_files() -> Iterator[str]:
    files = [path for path in DEPLOY.rglob("*.y*ml") if CHART / "templates" not in path.parents]
    # The queries of alert rules are one line each.
    rules = "{extends: relaxed, rules: {line-length: {max: 160}}}"
    yield from _run("yamllint", "--strict", "-d", rules, *map(str, files))


def compose() -> Iterator[str]:
    schema = _compose_schema()
    for path in sorted((DEPLOY / "compose").glob("*.yaml")):
        file = yaml.safe_load(path.read_text())
        for error in jsonschema.Draft7Validator(schema).iter_errors(file):
            yield f"{path.name}: {error.json_path}: {error.message}"
        yield from _missing_mounts(path, file)


def _compose_schema() -> dict[str, Any]:
    """The one that docker-compose 1.29 has in its wheel, which `make check-deploy` downloads."""
    (wheel,) = Path(sys.prefix).glob("docker_compose-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        schema: dict[str, Any] = json.loads(archive.read("compose/config/compose_spec.json"))
    # Newer than that version.
    schema["properties"]["name"] = {"type": "string"}
    return schema


def _missing_mounts(path: Path, file: dict[str, Any]) -> Iterator[str]:
    for name, service in file["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith(".") and "monitoring" not in source and not (path.parent / source).exists():
                yield f"{path.name}: {name} mounts {source}, which is not there"


def lint() -> Iterator[str]:
    for name, values in VALUES.items():
        found = helm_python.lint(str(CHART), values, strict=True)
        for message in found["messages"]:
            if message["severity"] > 1:
                yield f"{name}: {message['path']}: {message['error']}"
        yield from (f"{name}: {error}" for error in found["errors"])


def manifests() -> Iterator[str]:
    for name, values in VALUES.items():
        for manifest in rendered(values):
            where = f"{name}: {manifest['kind']} {manifest['metadata']['name']}"
            for problem in _problems(manifest):
                yield f"{where}: {problem}"


def rendered(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The manifests that Helm makes of ``values``."""
    chart = helm_python.Chart.load(str(CHART))
    for path, text in chart.render(values, name="llm", namespace="models").items():
        if path.endswith(".yaml"):
            yield from (manifest for manifest in yaml.safe_load_all(text) if manifest)


def _problems(manifest: dict[str, Any]) -> Iterator[str]:
    kind = manifest["kind"]
    if kind in CRDS:
        schema = _strict(json.loads(CRDS[kind].read_text()))
        errors = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
        yield from (f"{error.json_path}: {error.message}" for error in errors)
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"


def _strict(schema: Any) -> Any:
    """The CRD's schema, with an error for fields that Kubernetes would drop, and its own types in words of JSON Schema."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if strict.pop("x-kubernetes-int-or-string", False):
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
    if isinstance(strict.get("properties"), dict) and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def wrong_values() -> Iterator[str]:
    chart = helm_python.Chart.load(str(CHART))
    for values in WRONG_VALUES:
        try:
            chart.validate_schema(values)
        except helm_python.HelmError:
            continue
        yield f"takes {values}"


def same_targets() -> Iterator[str]:
    """The ScrapeConfigs of the chart and the jobs of the prometheus.yml that xinfer makes, as far as both have them."""
    jobs = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())["scrape_configs"]
    expected = {
        job["job_name"]: (
            _path_and_query(job["http_sd_configs"][0]["url"]),
            "authorization" in job,
            job.get("honor_labels", False),
            [(each["action"], each["regex"]) for each in job.get("metric_relabel_configs", ())],
        )
        for job in jobs
    }
    found = {}
    for manifest in rendered(VALUES["everything"]):
        if manifest["kind"] == "ScrapeConfig":
            spec = manifest["spec"]
            found[spec["jobName"]] = (
                _path_and_query(spec["httpSDConfigs"][0]["url"]),
                "authorization" in spec,
                spec.get("honorLabels", False),
                [(each["action"], each["regex"]) for each in spec.get("metricRelabelings", ())],
            )
    if found != expected:
        yield f"{found} instead of {expected}"


def _path_and_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def prometheus() -> Iterator[str]:
    # Its files are where the container has them.
    yield from _run(PROMTOOL, "check", "config", "--syntax-only", str(DEPLOY / "compose" / "prometheus.yml"))
    for path in (DEPLOY / "monitoring" / "rules.yml", CHART / "rules.yml"):
        yield from _run(PROMTOOL, "check", "rules", str(path))


def ray_up() -> Iterator[str]:
    """Also that nodes are of kinds that there are, which the schema leaves open."""
    (file,) = ENVIRONMENT.glob("lib/python*/site-packages/ray/autoscaler/ray-schema.json")
    validator = jsonschema.Draft7Validator(json.loads(file.read_text()))
    for path in sorted((DEPLOY / "ray-up").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        for error in validator.iter_errors(content):
            yield f"{path.name}: {error.json_path}: {error.message}"
        if content["head_node_type"] not in content["available_node_types"]:
            yield f"{path.name}: head_node_type is none of available_node_types"


def units() -> Iterator[str]:
    """As `xinfer service` would install them here."""
    for options in SERVICES:
        shown = subprocess.run(
            [ENVIRONMENT / "bin" / "python", "-m", "xinfer.cli", "service", "show", "--", *options],
            capture_output=True,
            text=True,
            cwd=DEPLOY.parent,
            timeout=60,
            check=False,
        )
        if shown.returncode:
            yield from shown.stderr.splitlines()
            continue
        with tempfile.TemporaryDirectory() as folder:
            unit = Path(folder) / "xinfer.service"
            unit.write_text(shown.stdout)
            yield from _run(shutil.which("systemd-analyze") or "systemd-analyze", "verify", str(unit))


def _run(program: str | Path, *words: str) -> Iterator[str]:
    path = shutil.which(program, path=str(Path(sys.executable).parent))
    if path is None:
        yield f"{program} is not installed"
        return
    done = subprocess.run([path, *words], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        yield from (done.stdout + done.stderr).splitlines() or [f"{program} exits with {done.returncode}"]


if __name__ == "__main__":
    sys.exit(main())

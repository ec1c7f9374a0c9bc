"""The file of declared models, as people write it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from xinfer.errors import ModelsFileRefused
from xinfer.names import is_uid

_DIGEST_LENGTH = 12
_RESERVED = frozenset({"declaration", "wait_ready"})


class _Strict(BaseModel):
    # A field with a typing error must not go unnoticed.
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True, allow_inf_nan=False)


class DeclaredModel(_Strict):
    """One model. The fields are those of `xinfer launch` and of `POST /v1/models`, `engine_args` apart."""

    model_name: str | None = Field(None, min_length=1, description="Family of the catalog; any name beside model_path.")
    model_uid: str | None = Field(None, description="UID of the model; by default its model_name.")
    model_path: str | None = Field(None, description="A folder or a hub id; a folder may be relative to this file.")
    revision: str | None = Field(None, description="Revision on the hub.")
    model_engine: str | None = Field(None, description="vLLM.")
    model_size_in_billions: int | float | str | None = Field(None, description="Such as 8, 0.6 or 1_8.")
    model_format: str | None = Field(None, description="Format of the weights, such as pytorch, fp8, awq or gptq.")
    quantization: str | None = Field(None, description="Such as none, Int4 or Int8.")
    context_length: int | None = Field(None, ge=1, description="Maximum of prompt plus output, in tokens.")
    replica: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Number of replicas. Unset, a launch has one, and apply leaves their number alone.",
    )
    autoscaling_config: dict[str, Any] | None = Field(
        None, description="How the number of replicas follows the load; replica is where it begins."
    )
    n_gpu: int | float | Literal["auto", "none"] = Field(
        "auto", description="GPUs of each replica: auto, a number, a fraction of one GPU, or none for the CPU."
    )
    node_labels: dict[str, str] | None = Field(None, description="Labels that its nodes have to have.")
    wait_for_capacity: bool | None = Field(
        None, description="Wait for nodes that are yet to come, and have Ray's autoscaler start them; needs n_gpu."
    )
    n_worker: int | None = Field(None, ge=1, le=64, description="Nodes that share each replica, with n_gpu on each.")
    pack: bool | None = Field(
        None, description="True puts its replicas on few nodes; unset, each is on a node of its own."
    )
    request_limits: int | None = Field(None, ge=1, description="Requests per replica before others get status 429.")
    idle_timeout: float | None = Field(None, gt=0, description="Seconds without a request after which it sleeps.")
    kv_cache_gib: float | None = Field(None, gt=0, description="KV cache of each replica, in GiB.")
    enable_thinking: bool | None = Field(None, description="Default for requests that do not set it.")
    reasoning_content: bool | None = Field(None, description="False puts reasoning into content.")
    include_reasoning: bool | None = Field(None, description="False leaves reasoning out.")
    resume: bool | Literal["any"] | None = Field(None, description="Default for streams that do not set it.")
    trust_remote_code: bool | None = Field(None, description="Run code that comes with the model.")
    envs: dict[str, str] = Field(default_factory=dict, description="Environment variables of the engine.")
    engine_args: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of vLLM's server by their Python names, such as max_num_seqs."
    )

    @field_validator("n_gpu", mode="before")
    @classmethod
    def _not_left_empty(cls, value: Any) -> Any:
        # On REST null is the CPU. In YAML it is a value that somebody has left out, as likely as not.
        if value is None or isinstance(value, bool):
            raise ValueError("expected auto, none, or a number")
        return value

    @field_validator("engine_args", "autoscaling_config")
    @classmethod
    def _as_json(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        # As the cluster keeps it, so that the next comparison finds the same.
        try:
            plain: dict[str, Any] | None = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected values as JSON has them: {error}") from None
        return plain

    @model_validator(mode="after")
    def _check_together(self) -> DeclaredModel:
        if not self.model_name and not self.model_path:
            raise ValueError("say which model: model_name or model_path")
        taken = sorted(self.engine_args.keys() & (type(self).model_fields.keys() | _RESERVED))
        if taken:
            raise ValueError(f"engine_args: {taken[0]} is a field of the model itself, or reserved")
        if not is_uid(self.uid):
            raise ValueError(f"{self.uid!r} cannot be a model UID; give it another model_uid")
        return self

    @property
    def uid(self) -> str:
        """The UID that it is launched under; its own, so that a second apply finds the model of the first."""
        return self.model_uid or self.model_name or str(self.model_path).rstrip("/").rsplit("/", 1)[-1]

    def in_folder(self, folder: Path) -> DeclaredModel:
        """The same with the absolute path of a folder that is relative to ``folder``; a hub id stays as it is."""
        if self.model_path is None:
            return self
        path = folder / Path(self.model_path).expanduser()
        if not path.is_dir():
            return self
        return self.model_copy(update={"model_path": str(path.absolute())})

    def declaration(self) -> dict[str, Any]:
        """What the cluster keeps to compare the next file with: no defaults, and digests of the values of ``envs``.

        Those values may be secrets, and everybody who reaches the cluster can read a declaration.
        """
        fields = self.model_dump(exclude_defaults=True, exclude={"model_uid"}, mode="json")
        if self.envs:
            fields["envs"] = {name: _digest(self.uid, name, value) for name, value in self.envs.items()}
        return fields

    def launch_fields(self) -> dict[str, Any]:
        """The keywords of the client's ``launch_model``."""
        fields = self.model_dump(exclude_defaults=True, exclude={"engine_args", "n_gpu", "model_name"})
        n_gpu = None if self.n_gpu == "none" else self.n_gpu
        given = {"model_name": self.model_name or self.uid, "model_uid": self.uid, "n_gpu": n_gpu}
        return {**fields, **given, "declaration": self.declaration(), **self.engine_args}


class ModelsFile(_Strict):
    """Models that should run."""

    models: list[DeclaredModel] = Field(description="The models, in the order in which they are launched.")

    @model_validator(mode="after")
    def _unique(self) -> ModelsFile:
        uids = [model.uid for model in self.models]
        twice = sorted({uid for uid in uids if uids.count(uid) > 1})
        if twice:
            raise ValueError(f"two models have the UID {twice[0]!r}; give one of them another model_uid")
        return self

    @classmethod
    def read(cls, path: Path) -> ModelsFile:
        """Read YAML or JSON; ``ModelsFileRefused`` with the file's name and the first field that is wrong."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelsFileRefused(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
        found = cls.parse(text, str(path))
        return cls(models=[model.in_folder(path.absolute().parent) for model in found.models])

    @classmethod
    def parse(cls, text: str, name: str) -> ModelsFile:
        """``text`` of the file that is called ``name`` in errors."""
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise ModelsFileRefused(f"{name}{where}: not YAML") from error
        try:
            return cls.model_validate(content if content is not None else {})
        except ValidationError as error:
            raise ModelsFileRefused(f"{name}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field; arguments of the engine go into engine_args"
    return f"{field}: {message}" if field else message


def _digest(*parts: str) -> str:
    # With UID and name, so that equal values of two models do not show as equal.
    text = "\0".join(parts)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]

"""What a model of the catalog needs: by its own files where they are here, else by what the catalog knows."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest

from xinfer.catalog import Catalog, Family, Selection
from xinfer.catalog.footprint import footprint_of
from xinfer.catalog.memory import GIB
from xinfer.catalog.weights import weights_by_size
from xinfer.tiny_chat import model_path

KNOWN = {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
COMMIT = "a" * 40


def model(model_id: str, **facts: object) -> Selection:
    spec = {"size_in_billions": "8", "model_id": model_id}
    usual = {"name": "q", "description": "", "abilities": ["chat"], "languages": ["en"], "context_length": 4096}
    return Catalog([Family.model_validate({**usual, "specs": [spec], **facts})]).matching("q")[0]


def test_by_the_catalog() -> None:
    size = footprint_of(model("none-has-this/q", configs={"8": KNOWN}))
    assert (size.weights_bytes, size.is_measured, size.context_length) == (16 * 10**9, False, 4096)
    assert size.estimate(4096).kv_cache_bytes == 4096 * 147456
    assert size.estimate(4096, 2).total_bytes == 8 * 10**9 + 2048 * 147456 + GIB // 2
    assert size.estimate(1, 0).overhead_bytes == GIB
    assert [size.can_be_shared_by(count) for count in (1, 2, 3, 32)] == [True, True, False, True]


def test_longest_request() -> None:
    size = footprint_of(model("none-has-this/q", configs={"8": {**KNOWN, "max_position_embeddings": 40960}}))
    fixed = 16 * 10**9 + GIB // 2
    assert [size.longest(fixed + n * 147456) for n in (-1, 0, 1000, 10**6)] == [0, 0, 1000, 40960]
    assert size.longest(fixed + 1000 * 73728, kv_dtype="fp8") == 1000


def test_nothing_known_but_its_size() -> None:
    size = footprint_of(model("none-has-this/q"))
    assert (size.is_known, size.context_length) == (False, 4096)
    assert size.estimate(4096).unknown == ("the KV cache, as the number of layers is not known",)


def test_model_that_is_published_quantized_alone() -> None:
    size = footprint_of(
        model("none-has-this/q", configs={"8": {**KNOWN, "quantization_config": {"quant_method": "mxfp4"}}})
    )
    assert size.weights_bytes == weights_by_size("8", "mxfp4")


def test_by_its_own_files_in_a_folder() -> None:
    folder = model_path()
    size = footprint_of(model(str(folder), configs={"8": KNOWN}))
    assert (size.weights_bytes, size.is_measured) == ((folder / "model.safetensors").stat().st_size, True)
    assert (size.context_length, size.config) == (4096, json.loads((folder / "config.json").read_text()))


def cached(cache: Path, **files: str) -> None:
    """The model ``owner/q`` as huggingface_hub keeps it."""
    folder = cache / "models--owner--q"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    for name, text in files.items():
        (folder / "snapshots" / COMMIT / name.replace("__", ".")).write_text(text)


def test_by_its_own_files_in_the_hub_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    config = {**KNOWN, "max_position_embeddings": 2048, "num_hidden_layers": 1}
    cached(tmp_path, config__json=json.dumps(config))
    own = footprint_of(model("owner/q", configs={"8": KNOWN}))
    assert (own.config, own.context_length) == (config, 2048)
    assert (own.weights_bytes, own.is_measured) == (16 * 10**9, False), "the weights are not here yet"
    assert footprint_of(model("owner/other", configs={"8": KNOWN})).config == KNOWN


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_broken_files_count_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert footprint_of(model(str(tmp_path), configs={"8": KNOWN})).config == KNOWN


def test_path_that_no_hub_id_can_have() -> None:
    assert footprint_of(model("not a/hub/id")).is_known is False

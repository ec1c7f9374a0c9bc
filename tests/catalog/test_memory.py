"""Estimates of memory, against figures that can be counted by hand from published configurations."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinfer.catalog.kv_cache import kv_cache_of
from xinfer.catalog.memory import GIB, GPU_OVERHEAD_BYTES, context_length_of, estimate, gpus_needed
from xinfer.catalog.weights import StoredWeights, loaded_bytes
from xinfer.parallel import Parallel
from xinfer.tiny_chat import model_path

Config = dict[str, Any]

LLAMA_31_8B: Config = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "torch_dtype": "bfloat16",
}
LLAMA_31_8B_BYTES = 16_060_522_496
QWEN3_8B: Config = {
    "model_type": "qwen3",
    "head_dim": 128,
    "hidden_size": 4096,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "use_sliding_window": False,
}
QWEN25_7B: Config = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "max_window_layers": 28,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131072,
    "use_sliding_window": False,
}
DEEPSEEK_V3: Config = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "num_attention_heads": 128,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
DEEPSEEK_V32: Config = {**DEEPSEEK_V3, "model_type": "deepseek_v32", "index_head_dim": 128, "index_n_heads": 64}
GPT_2: Config = {"model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024}
FALCON_7B: Config = {
    "model_type": "falcon",
    "hidden_size": 4544,
    "multi_query": True,
    "new_decoder_architecture": False,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
}
MPT_7B_8K: Config = {
    "model_type": "mpt",
    "attn_config": {"kv_n_heads": 8},
    "d_model": 4096,
    "max_seq_len": 8192,
    "n_heads": 32,
    "n_layers": 32,
}
MISTRAL_7B_V01: Config = {
    **LLAMA_31_8B,
    "model_type": "mistral",
    "sliding_window": 4096,
    "max_position_embeddings": 32768,
}
GEMMA_3_27B: Config = {
    "model_type": "gemma3",
    "vision_config": {"num_hidden_layers": 27, "hidden_size": 1152, "num_attention_heads": 16},
    "text_config": {
        "model_type": "gemma3_text",
        "head_dim": 128,
        "hidden_size": 5376,
        "num_attention_heads": 32,
        "num_hidden_layers": 62,
        "num_key_value_heads": 16,
        "sliding_window": 1024,
    },
}
GEMMA_3_4B: Config = {  # its file leaves the heads to transformers' defaults
    "model_type": "gemma3",
    "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "sliding_window": 1024},
}
GEMMA_3N_E4B: Config = {
    "model_type": "gemma3n",
    "text_config": {
        "model_type": "gemma3n_text",
        "head_dim": 256,
        "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 7,
        "num_attention_heads": 8,
        "num_hidden_layers": 35,
        "num_key_value_heads": 2,
        "num_kv_shared_layers": 15,
        "sliding_window": 512,
    },
}
GPT_OSS_20B: Config = {
    "model_type": "gpt_oss",
    "head_dim": 64,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "num_attention_heads": 64,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "sliding_window": 128,
}
QWEN3_NEXT: Config = {
    "model_type": "qwen3_next",
    "full_attention_interval": 4,
    "head_dim": 256,
    "num_attention_heads": 16,
    "num_hidden_layers": 48,
    "num_key_value_heads": 2,
}
JAMBA: Config = {
    "model_type": "jamba",
    "attn_layer_offset": 4,
    "attn_layer_period": 8,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
}
NEMOTRON_H_8B: Config = {
    "model_type": "nemotron_h",
    "attention_head_dim": 128,
    "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
    "num_attention_heads": 32,
    "num_hidden_layers": 52,
    "num_key_value_heads": 8,
}
LLAMA_4_SCOUT: Config = {
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text",
        "attention_chunk_size": 8192,
        "head_dim": 128,
        "num_attention_heads": 40,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
    },
}
KIMI_LINEAR: Config = {
    "model_type": "kimi_linear",
    "kv_lora_rank": 512,
    "linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "kda_layers": [1, 2, 3]},
    "num_attention_heads": 32,
    "num_hidden_layers": 27,
    "qk_rope_head_dim": 64,
}


@pytest.mark.parametrize(
    ("config", "bytes_per_token"),
    [
        (LLAMA_31_8B, 131072),
        (QWEN3_8B, 147456),
        (QWEN25_7B, 57344),
        (DEEPSEEK_V3, 61 * 576 * 2),
        (DEEPSEEK_V32, 61 * (576 * 2 + 128 + 4)),
        (GPT_2, 12 * 2 * 768 * 2),
        (FALCON_7B, 32 * 2 * 64 * 2),
        (MPT_7B_8K, 131072),
        (QWEN3_NEXT, 12 * 2 * 2 * 256 * 2),
        (JAMBA, 4 * 2 * 8 * 128 * 2),
        (NEMOTRON_H_8B, 4 * 2 * 8 * 128 * 2),
        (KIMI_LINEAR, 7 * 576 * 2),
        ({**QWEN3_NEXT, "full_attention_interval": None}, 12 * 2 * 2 * 256 * 2),
        ({**DEEPSEEK_V32, "layer_types": ["indexed_attention"] * 61}, 61 * (576 * 2 + 128 + 4)),
    ],
)
def test_cache_that_grows_with_every_token(config: Config, bytes_per_token: int) -> None:
    cache = kv_cache_of(config)
    assert not cache.unknown
    assert [cache.bytes(tokens) for tokens in (0, 1, 1000)] == [0, bytes_per_token, 1000 * bytes_per_token]
    assert cache.bytes(1000, sequences=3) == 3000 * bytes_per_token


@pytest.mark.parametrize(
    ("config", "tokens", "expected"),
    [
        (MISTRAL_7B_V01, 32768, 4096 * 131072),
        (MISTRAL_7B_V01, 100, 100 * 131072),
        (GEMMA_3_27B, 131072, (10 * 131072 + 52 * 1024) * 8192),
        (GEMMA_3_4B, 131072, (5 * 131072 + 29 * 1024) * 4096),
        (GEMMA_3N_E4B, 32768, (4 * 32768 + 16 * 512) * 2048),
        (GPT_OSS_20B, 131072, (12 * 131072 + 12 * 128) * 2048),
        (LLAMA_4_SCOUT, 131072, (12 * 131072 + 36 * 8192) * 4096),
    ],
)
def test_layers_with_a_window_keep_no_more_than_it_has(config: Config, tokens: int, expected: int) -> None:
    cache = kv_cache_of(config)
    assert not cache.unknown
    assert cache.bytes(tokens) == expected


@pytest.mark.parametrize(
    ("dtypes", "factor"),
    [
        ({"kv_dtype": "fp8"}, 0.5),
        ({"kv_dtype": "fp8_e5m2"}, 0.5),
        ({"kv_dtype": "nvfp4"}, 0.25),
        ({"kv_dtype": "bfloat16"}, 1),
        ({"dtype": "float32"}, 2),
        ({"dtype": "float32", "kv_dtype": "fp8"}, 0.5),
    ],
)
def test_dtype_of_the_cache(dtypes: dict[str, str], factor: float) -> None:
    assert kv_cache_of(LLAMA_31_8B, **dtypes).bytes(10) == 10 * 131072 * factor


@pytest.mark.parametrize(
    "scheme",
    [
        {
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "kv_cache_scheme": {"num_bits": 8, "type": "float"},
            }
        },
        {"quantization_config": {"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}},
        {"quantization_config": {"quant_method": "modelopt", "quantization": {"kv_cache_quant_algo": "FP8"}}},
    ],
)
def test_checkpoint_that_asks_for_a_quantized_cache(scheme: Config) -> None:
    assert kv_cache_of({**LLAMA_31_8B, **scheme}).bytes(10) == 5 * 131072


def test_gpus_share_heads_and_layers() -> None:
    """Up to one head for each GPU; what is latent is on all of them."""
    llama, deepseek = kv_cache_of(LLAMA_31_8B), kv_cache_of(DEEPSEEK_V3)
    assert [llama.bytes(8, parallel=Parallel(n)) for n in (1, 2, 8, 16)] == [8 * 131072, 4 * 131072, 131072, 131072]
    assert llama.bytes(8, parallel=Parallel(2, 2)) == 2 * 131072
    assert deepseek.bytes(8, parallel=Parallel(8)) == deepseek.bytes(8)


def test_longest_request() -> None:
    cache = kv_cache_of(LLAMA_31_8B)
    assert cache.longest(GIB, at_most=131072) == 8192
    assert cache.longest(GIB - 1, at_most=131072) == 8191
    assert cache.longest(GIB, at_most=4096) == 4096
    assert cache.longest(0, at_most=4096) == 0
    assert cache.longest(GIB, at_most=131072, parallel=Parallel(2)) == 16384


@pytest.mark.parametrize(
    ("config", "kv_dtype", "words"),
    [
        ({}, "auto", "number of layers"),
        ({"num_hidden_layers": 3}, "auto", "layers with full attention"),
        (
            {**GPT_OSS_20B, "layer_types": ["full_attention", "holographic_attention"]},
            "auto",
            "layers with unknown attention",
        ),
        ({**DEEPSEEK_V3, "compress_ratios": [4, 128]}, "auto", "compressed"),
        (LLAMA_31_8B, "int2_of_tomorrow", "int2_of_tomorrow"),
    ],
)
def test_what_is_not_known_is_said_and_not_counted(config: Config, kv_dtype: str, words: str) -> None:
    found = estimate(config, 5, tokens=100, kv_dtype=kv_dtype)
    assert words in " ".join(found.unknown)
    assert found.kv_cache_bytes in (0, 100 * 2048)  # the second is the one layer that is known
    assert found.total_bytes == 5 + found.kv_cache_bytes + GPU_OVERHEAD_BYTES


def test_estimate() -> None:
    found = estimate(LLAMA_31_8B, LLAMA_31_8B_BYTES)
    assert (found.weights_bytes, found.kv_cache_bytes) == (LLAMA_31_8B_BYTES, 16 * GIB)
    assert (found.tokens, found.sequences, found.unknown) == (131072, 1, ())
    assert found.total_bytes == LLAMA_31_8B_BYTES + 16 * GIB + GPU_OVERHEAD_BYTES
    half = estimate(LLAMA_31_8B, LLAMA_31_8B_BYTES, tokens=8192, sequences=4, parallel=Parallel(2), overhead_bytes=0)
    assert half.total_bytes == LLAMA_31_8B_BYTES // 2 + 2 * GIB
    unweighed = estimate(LLAMA_31_8B, None, tokens=8192, overhead_bytes=0)
    assert (unweighed.weights_bytes, unweighed.total_bytes, unweighed.unknown) == (None, GIB, ("the weights",))


def test_gpus_needed() -> None:
    gpu_bytes = int(0.92 * 24 * GIB)
    assert gpus_needed(LLAMA_31_8B, LLAMA_31_8B_BYTES, gpu_bytes, tokens=8192) == 1
    assert gpus_needed(LLAMA_31_8B, LLAMA_31_8B_BYTES, gpu_bytes) == 2
    assert gpus_needed(QWEN25_7B, 4 * gpu_bytes, gpu_bytes) is None, "28 heads cannot be shared by 8"
    assert gpus_needed(DEEPSEEK_V3, 671 * GIB, 80 * GIB, tokens=163840) == 16


@pytest.mark.parametrize(
    ("config", "tokenizer_config", "expected"),
    [
        (LLAMA_31_8B, {}, 131072),
        (LLAMA_31_8B, {"model_max_length": 4096}, 4096),
        (LLAMA_31_8B, {"model_max_length": 10**30}, 131072),
        (GPT_2, {}, 1024),
        (GEMMA_3_4B, {}, 131072),
        ({}, {}, 2048),
        (
            {
                "max_position_embeddings": 131072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope"},
            },
            {},
            4096,
        ),
    ],
)
def test_context_length(config: Config, tokenizer_config: Config, expected: int) -> None:
    assert context_length_of(config, tokenizer_config) == expected


def test_tiny_chat() -> None:
    config = json.loads((model_path() / "config.json").read_text())
    assert kv_cache_of(config).bytes(1) == 2048
    assert context_length_of(config) == 4096


@pytest.mark.engine
def test_tiny_chat_by_vllm_s_own_reading() -> None:
    """In a process of its own: vLLM's imports warn."""
    program = """
import json, sys
from vllm.config import ModelConfig, ParallelConfig
model, parallel = ModelConfig(model=sys.argv[1]), ParallelConfig()
heads, layers = model.get_num_kv_heads(parallel), model.get_num_layers(parallel)
print(json.dumps([layers * heads * model.get_head_size() * 2 * model.dtype.itemsize, model.max_model_len]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(model_path())], capture_output=True, text=True, timeout=120
    )
    config = json.loads((model_path() / "config.json").read_text())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [kv_cache_of(config).bytes(1), context_length_of(config)]


KEYS = [
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "kv_lora_rank"),
    *("layer_types", "layers_block_type", "hybrid_override_pattern", "attn_type_list", "linear_attn_config"),
    *("attn_layer_indices", "attn_layer_period", "attn_layer_offset", "full_attention_interval", "model_type"),
    *("sliding_window", "sliding_window_pattern", "use_sliding_window", "max_window_layers", "no_rope_layer_interval"),
    *("quantization_config", "rope_scaling", "max_position_embeddings", "text_config", "num_kv_shared_layers", "dtype"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats()
    | st.sampled_from(["llama4", "full_attention", "M*", ""])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*KEYS, "full_attn_layers", "kv_cache_scheme", "quantization"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_strange_files_give_a_small_estimate_rather_than_an_error(config: Config) -> None:
    assert estimate(config, 1).kv_cache_bytes >= 0
    assert loaded_bytes(StoredWeights(1000), config) <= 2000

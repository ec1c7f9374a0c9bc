"""tiny-chat: a very small language model that ships with xinfer as a demo and as a test fixture.

``model_path()`` names the folder with the weights. The modules beside it hold what the model was made from: the facts
(``data/``, ``facts``), the seeded corpus (``corpus``), the training (``train``) and the measurements (``evaluate``).
"""

from pathlib import Path

__all__ = ["model_path"]


def model_path() -> Path:
    """The folder with config.json, model.safetensors and the tokenizer, as vLLM and transformers expect it."""
    return Path(__file__).parent / "model"

"""xinfer: language models on one's own GPUs, launched by name and called through an OpenAI-compatible API.

This package is what everybody imports: errors, settings, messages, the catalog, the client and the command line. It imports
neither Ray nor vLLM.
"""

__version__ = "0.1.0"

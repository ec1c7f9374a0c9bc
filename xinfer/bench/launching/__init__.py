"""The benchmark behind ``xinfer bench-launch``: how long launches take, beside bare vLLM's start.

What is decided is plain functions: ``rows``, ``sample``, ``result``, ``report``. What is done is around them:
``job`` takes the ``measurements`` on clusters of its own, and those of ``bare`` vLLM and of ``make serve``.
"""

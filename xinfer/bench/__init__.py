"""The load generator behind ``xinfer bench``: latency and throughput of an OpenAI-compatible server, or two.

What is decided is plain functions: ``workload``, ``plan``, ``metrics``, ``aggregates``, ``tables``, ``report``.
What is done is around them: ``job`` and ``runner`` send requests by ``load`` and ``sender``, and read ``cpu``,
``gpus`` and ``engines``.
"""

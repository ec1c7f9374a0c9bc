"""The load generator behind ``xinfer bench``: latency and throughput of any OpenAI-compatible server, or of two in turn.

What is decided (prompts, arrivals, figures, pairs) is plain functions; what is done (requests, clocks, processes) is around them.
"""

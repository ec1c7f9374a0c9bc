"""The benchmark behind ``xinfer bench-launch``: how long launches take, beside bare vLLM's start in the same run.

What is decided (goals, medians, timelines, tables) is plain functions; what is done (clusters, engines, clocks) is around them.
"""

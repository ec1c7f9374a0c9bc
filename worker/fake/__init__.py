"""A fake engine with vLLM's manners on HTTP, for what a real one can't do on demand: die, stall,
pace, fail to start.
"""

"""The registry: one detached actor that knows what should run, what does run, and what every model can do."""

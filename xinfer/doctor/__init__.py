"""What this machine has of what xinfer needs: facts, gathered by ``machine``, and verdicts on them, by ``findings``."""

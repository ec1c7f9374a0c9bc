"""Models in each of their states."""

from __future__ import annotations

from supervisor.registry.models import Delete, Deploy, Models
from tests.supervisor.samples import report, spec
from xinfer.messages import ModelState, ReplicaStage

PENDING, LAUNCHING, READY, DRAINING, SLEEPING, FAILED, CANCELLED, TERMINATING = ModelState
NOW = 100.0


def models_in(state: ModelState) -> Models:
    """One model ``m`` in this state, with nothing left to do."""
    models = Models(version=0)
    models.add(spec())
    if state is PENDING:
        return models
    assert models.next_action("m", NOW) == Deploy(spec())
    if state is CANCELLED:
        models.cancel("m")
        models.on_application_deleted("m", NOW)
    elif state is FAILED:
        models.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
        models.on_application_deleted("m", NOW)
    elif state is TERMINATING:
        models.terminate("m")
    elif state in (READY, DRAINING, SLEEPING):
        models.report(report())
    if state in (DRAINING, SLEEPING):
        models.drain("m")
    if state is SLEEPING:
        models.sleep("m")
        assert models.next_action("m", NOW) == Delete("m", forget=False)
        models.on_application_deleted("m", NOW)
    assert models.get("m").state is state
    return models

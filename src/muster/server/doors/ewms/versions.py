"""In what do the versions of the door differ? In the shapes of requests and answers, and in what an agent must say of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from muster.client.shapes import new_workflow as ours
from muster.domain.workflow import TaskDirective
from muster.server.doors.ewms import views, views_v0
from muster.server.doors.ewms.shapes import (
    NewWorkflow,
    NewWorkflowAnswer,
    PendingStarter,
    TaskDirectiveObject,
    TaskforceObject,
    WorkflowObject,
)
from muster.server.doors.ewms.shapes_v0 import (
    NewWorkflowAnswerV0,
    NewWorkflowV0,
    TaskDirectiveObjectV0,
    TaskforceObjectV0,
    WorkflowObjectV0,
)
from muster.server.services.offer_upstream import Offer
from muster.server.services.read_workflow import WholeTaskforce, WholeWorkflow


@dataclass(frozen=True)
class Version:
    """One version: the types of what travels, and how ours becomes that.

    Args:
        prefix: where its routes are.
        number: what its description calls it.
        needs_collector: an agent names its collector beside its schedd.
        shows_queues: a taskforce has the queues of its task among its variables.
    """

    prefix: str
    number: str
    needs_collector: bool
    shows_queues: bool
    new_workflow_type: type[msgspec.Struct]
    made_type: type[msgspec.Struct]
    workflow_type: type[msgspec.Struct]
    directive_type: type[msgspec.Struct]
    taskforce_type: type[msgspec.Struct]
    offer_type: type[msgspec.Struct]
    parse_new_workflow: Callable[[Any], ours.NewWorkflow]
    render_new_workflow: Callable[[WholeWorkflow], msgspec.Struct]
    render_workflow: Callable[[WholeWorkflow], msgspec.Struct]
    render_directive: Callable[[TaskDirective], msgspec.Struct]
    render_taskforce: Callable[[WholeTaskforce], msgspec.Struct]
    render_offer: Callable[[Offer], msgspec.Struct]
    render_offered: Callable[[Offer], msgspec.Struct]


V1 = Version(
    prefix="/v1",
    number="1",
    needs_collector=False,
    shows_queues=False,
    new_workflow_type=NewWorkflow,
    made_type=NewWorkflowAnswer,
    workflow_type=WorkflowObject,
    directive_type=TaskDirectiveObject,
    taskforce_type=TaskforceObject,
    offer_type=PendingStarter,
    parse_new_workflow=views.parse_new_workflow,
    render_new_workflow=views.render_new_workflow,
    render_workflow=views.render_workflow,
    render_directive=views.render_directive,
    render_taskforce=views.render_taskforce,
    render_offer=views.render_offer,
    render_offered=views.render_offered,
)
V0 = Version(
    prefix="/v0",
    number="0.0.0",
    needs_collector=True,
    shows_queues=True,
    new_workflow_type=NewWorkflowV0,
    made_type=NewWorkflowAnswerV0,
    workflow_type=WorkflowObjectV0,
    directive_type=TaskDirectiveObjectV0,
    taskforce_type=TaskforceObjectV0,
    offer_type=TaskforceObjectV0,
    parse_new_workflow=views_v0.parse_new_workflow,
    render_new_workflow=views_v0.render_new_workflow,
    render_workflow=views_v0.render_workflow,
    render_directive=views_v0.render_directive,
    render_taskforce=views_v0.render_taskforce,
    render_offer=views_v0.render_offer,
    render_offered=views_v0.render_offer,
)
VERSIONS = (V1, V0)

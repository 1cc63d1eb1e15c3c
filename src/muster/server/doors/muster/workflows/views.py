"""How do workflows look on our door?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import msgspec

from muster.client.shapes.account import (
    Account,
    CountsView,
    ErrorGroupView,
    Errors,
    QueueAccount,
    RecountView,
    TaskforceTrouble,
)
from muster.client.shapes.stream import END, GAP, PROGRESS, EndView, GapView, NoticeView
from muster.client.shapes.workflows import (
    BrakedView,
    BrakeView,
    EndedView,
    Progress,
    QueueView,
    WorkflowPage,
    WorkflowSummary,
    WorkflowView,
)
from muster.domain.brake import Brake
from muster.domain.ids import render_event_id
from muster.domain.outbox import Place, render_place
from muster.domain.queue import Counts, Queue
from muster.domain.workflow import Workflow
from muster.server.doors.event_stream import SIGN_OF_LIFE, render_event, render_id
from muster.server.doors.muster.taskforces.views import render_taskforce
from muster.server.doors.muster.tasks.views import render_task
from muster.server.doors.muster.workflows.usage import render_usage_recount
from muster.server.ports.store import Recount
from muster.server.services.brake_workflow import Braked
from muster.server.services.deactivate_workflow import Ended
from muster.server.services.follow_progress import ProgressNow
from muster.server.services.read_account import WorkflowAccount, WorkflowErrors
from muster.server.services.read_workflow import WholeWorkflow, state_of
from muster.server.services.stream_workflow import Gap, Message, Now, Over, Told


def render_summary(workflow: Workflow) -> WorkflowSummary:
    """A row of the list."""
    return WorkflowSummary(
        workflow_id=workflow.workflow_id,
        name=workflow.name,
        owner=workflow.owner,
        created_at=workflow.created_at,
        priority=workflow.priority,
        finish_when_done=workflow.finish_when_done,
        state=state_of(workflow),
        ended_at=workflow.ended_at,
        ended_by=workflow.ended_by,
        group=workflow.owner_group,
        brake=_render_brake(workflow.brake),
    )


def render_workflow(whole: WholeWorkflow) -> WorkflowView:
    """A workflow with its parts."""
    workflow = whole.workflow
    aliases = {queue.queue_id: queue.alias for queue in whole.queues}
    return WorkflowView(
        workflow_id=workflow.workflow_id,
        name=workflow.name,
        owner=workflow.owner,
        created_at=workflow.created_at,
        priority=workflow.priority,
        finish_when_done=workflow.finish_when_done,
        state=state_of(workflow),
        ended_at=workflow.ended_at,
        ended_by=workflow.ended_by,
        group=workflow.owner_group,
        brake=_render_brake(workflow.brake),
        tasks=[render_task(one, aliases) for one in whole.directives],
        queues=render_queues(whole.queues, whole.counts),
        taskforces=[render_taskforce(one) for one in whole.taskforces],
    )


def render_workflows(page: Sequence[Workflow], next_after: str | None) -> WorkflowPage:
    """A page of the list."""
    return WorkflowPage([render_summary(one) for one in page], next_after)


def render_queues(queues: Sequence[Queue], counts: Mapping[int, Counts]) -> list[QueueView]:
    """Queues with their accounts."""
    return [
        QueueView(
            alias=one.alias,
            queue_id=one.queue_id,
            is_public=one.is_public,
            is_input=one.is_input,
            is_output=one.is_output,
            closed_at=one.closed_at,
            counts=render_counts(counts[one.number]),
        )
        for one in queues
    ]


def render_counts(counts: Counts) -> CountsView:
    """An account."""
    return CountsView(**asdict(counts))


def render_ended(ended: Ended) -> EndedView:
    """What finish or abort did."""
    return EndedView(ended.workflow_id, ended.n_taskforces, ended.state.value)


def render_braked(braked: Braked) -> BrakedView:
    """What pause, drain or resume did."""
    workflow = braked.workflow
    return BrakedView(workflow.workflow_id, state_of(workflow), _render_brake(workflow.brake), braked.n_taskforces)


def _render_brake(brake: Brake | None) -> BrakeView | None:
    return None if brake is None else BrakeView(brake.state.value, brake.at, brake.by, brake.reason, brake.fingerprint)


def render_progress(now: ProgressNow) -> Progress:
    """How far a workflow is."""
    return Progress(
        workflow_id=now.workflow.workflow_id,
        state=state_of(now.workflow),
        token=now.token,
        at=now.at,
        workers=now.workers,
        input=render_counts(now.total),
        queues=render_queues(now.queues, now.counts),
        phases={phase.value: count for phase, count in sorted(now.phases.items())},
        failures=now.failures,
        why=now.why,
        brake=_render_brake(now.workflow.brake),
    )


def render_message(workflow_id: str, message: Message) -> bytes:
    """One event of a workflow's stream."""
    match message:
        case ProgressNow():
            return render_event(PROGRESS, msgspec.json.encode(render_progress(message)))
        case Told(place=place, notice=notice):
            view = NoticeView(render_place(place), workflow_id, notice.kind, notice.at, dict(notice.data))
            return _render_placed(notice.kind, view, place)
        case Now(place=place):
            return render_id(render_place(place))
        case Gap(place=place, after=after):
            return _render_placed(GAP, GapView(workflow_id, after), place)
        case Over(place=place, state=state):
            return _render_placed(END, EndView(workflow_id, state), place)
    return SIGN_OF_LIFE


def _render_placed(name: str, view: msgspec.Struct, place: Place) -> bytes:
    return render_event(name, msgspec.json.encode(view), id_=render_place(place))


def render_account(account: WorkflowAccount) -> Account:
    """A workflow's account."""
    total = account.total
    return Account(
        workflow_id=account.workflow.workflow_id,
        state=state_of(account.workflow),
        queues=[
            QueueAccount(
                alias=one.alias,
                counts=render_counts(account.counts[one.number]),
                adds_up=account.counts[one.number].adds_up,
                is_input=one.is_input,
                recount=_render_recount(account.recounts.get(one.number)),
            )
            for one in account.queues
        ],
        published=total.published,
        waiting=total.waiting,
        in_work=total.in_work,
        done=total.done,
        dead=total.dead,
        lost=account.lost,
        counted_twice=account.counted_twice,
        duplicates=account.duplicates,
        adds_up=account.adds_up,
    )


def _render_recount(recount: Recount | None) -> RecountView | None:
    if recount is None:
        return None
    agrees = recount.kept == recount.counted
    usage = render_usage_recount(recount)
    return RecountView(render_counts(recount.kept), render_counts(recount.counted), agrees, usage)


def render_errors(errors: WorkflowErrors) -> Errors:
    """What went wrong, by cause."""
    return Errors(
        workflow_id=errors.workflow.workflow_id,
        groups=[
            ErrorGroupView(
                fingerprint=one.fingerprint,
                failures=one.failures,
                events=one.events,
                done=one.done,
                example_event=render_event_id(one.example_event),
                example_text=one.example_text,
                first_at=one.first_at,
                last_at=one.last_at,
                hosts=list(one.hosts),
            )
            for one in errors.groups
        ],
        taskforces=[
            TaskforceTrouble(
                taskforce_uuid=one.taskforce.taskforce_uuid,
                phase=one.taskforce.phase.value,
                submit_failures=one.taskforce.submit_failures,
                remove_failures=one.taskforce.remove_failures,
                held_reason=one.taskforce.held_reason,
                text=one.text,
            )
            for one in errors.troubles
        ],
    )

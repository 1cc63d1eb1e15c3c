"""For how long is what kept? The settings of the service (`muster.settings.parts`) take these in."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from muster.domain.attempt_output import OutputsKept
from muster.domain.retention import Kept, Rules
from muster.settings.variables import FromVariables

DAY_S = 24 * 3600.0


class RetentionSettings(FromVariables):
    """What a service removes by itself. By default no work of users is: only what tells of it."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_")

    workflows_kept_s: float | None = Field(default=None, ge=0)
    """Seconds that a workflow is kept after its end, with all its events. Without it: for ever."""

    results_kept_s: float = Field(default=30 * DAY_S, ge=0)
    """Seconds that a workflow is kept beyond that while there are results in its public queues which nobody has consumed."""

    events_kept_s: float | None = Field(default=None, ge=0)
    """Seconds that an event is kept after it was done, with its attempts; it still counts. Without it: as long as its workflow."""

    dead_letters_kept_s: float | None = Field(default=None, ge=0)
    """Seconds that a dead letter is kept; it still counts, and cannot be replayed any more. Without it: as long as its workflow."""

    bodies_kept_s: float | None = Field(default=None, ge=0)
    """Seconds that the body of an event is kept after it was done. Without it: as long as the event."""

    attempts_kept_s: float | None = Field(default=None, ge=0)
    """Seconds that failed attempts are kept of an event that is done; they still count. Without it: as long as the event."""

    outputs_per_cause: int = Field(default=100, ge=0)
    """How many failed attempts of each cause at each queue's events are kept with what they printed; 0: none."""

    outputs_per_queue: int = Field(default=1000, ge=0)
    """How many of them in all, whatever their causes: at most 128 KiB each."""

    notices_kept_s: float = Field(default=30 * DAY_S, ge=60)
    """Seconds for which streams can tell of something that happened to a workflow."""

    answer_kept_s: float = Field(default=72 * 3600.0, ge=60)
    """Seconds that answers to requests with an Idempotency-Key are kept."""

    purge_interval_s: float = Field(default=3600.0, gt=0)
    """Seconds between two looks for what need not be kept any longer."""

    @property
    def outputs_kept(self) -> OutputsKept:
        """Of how many failed attempts what they printed is kept."""
        return OutputsKept(self.outputs_per_cause, self.outputs_per_queue)

    @property
    def retention(self) -> Rules:
        """The rules as the domain knows them."""
        seconds = {
            Kept.WORKFLOWS: self.workflows_kept_s,
            Kept.EVENTS: self.events_kept_s,
            Kept.DEAD_LETTERS: self.dead_letters_kept_s,
            Kept.BODIES: self.bodies_kept_s,
            Kept.ATTEMPTS: self.attempts_kept_s,
            Kept.NOTICES: self.notices_kept_s,
            Kept.ANSWERS: self.answer_kept_s,
        }
        return Rules({kept: value for kept, value in seconds.items() if value is not None}, self.results_kept_s)

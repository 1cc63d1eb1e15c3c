"""For how long has one open transaction held notices back? What commits after it is told to nobody before it ends."""

from dataclasses import dataclass, field

from muster.server.ports.outbox import Horizon

OLD_S = 60.0
"""Seconds after which operators are told: no transaction of ours takes so long."""


@dataclass
class HorizonAge:
    """What looks at the horizon, made now and then, come to. The age is that since the first look that saw the transaction."""

    age_s: float = 0.0
    _transaction: int | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _tell_at_s: float = field(default=OLD_S, init=False)

    def note(self, horizon: Horizon | None, *, now: float) -> bool:
        """Take a look in. True: it is time to tell operators, again each time that it is twice as old.

        Args:
            now: a reading of a clock that never goes back, in seconds.
        """
        transaction = None if horizon is None else horizon.transaction
        if transaction is None or transaction != self._transaction:
            self._transaction, self._since, self._tell_at_s = transaction, now, OLD_S
        self.age_s = now - self._since
        if self.age_s < self._tell_at_s:
            return False
        self._tell_at_s = 2 * self.age_s
        return True

"""How do orders reach the agent at once? By a claim that the service parks until there is one."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Never

import anyio
from anyio.abc import TaskStatus

from muster.client.shapes.sites import Claim
from muster.domain.backoff import next_delay
from muster.domain.errors import InvalidError, MusterError
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.places import Places
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.service import Service

ORDERS_MAX = 16
"""Orders that one claim may bring."""
RETRY_FIRST_S = 0.2
RETRY_DELAY_S_MAX = 5.0
PAUSE_S = 0.1
"""Seconds before the next claim, when one brought nothing although it did not wait."""


class Claimer:
    """Claims orders, and renews the claims of what is in hand."""

    def __init__(
        self,
        service: Service,
        keeper: TaskforceKeeper,
        trouble: TroubleLog,
        *,
        agent: str,
        locations: Sequence[str],
        lease_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._keeper = keeper
        self._trouble = trouble
        self._agent = agent
        self._places = Places(locations)
        self._lease_s = lease_s
        self._now = now
        self.claimed_at: float | None = None
        """When the service last answered, seconds since the epoch."""
        self._has_claimed = False  # what a former agent left waits for the first answer, so that one is not parked
        self._wait_s = min(20.0, lease_s / 2)  # a parked claim must be back in time to renew the others

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        failures = 0
        while True:
            if not self._places.choose():  # none of them is there: nothing can be asked for until they are tried again
                await anyio.sleep_until(self._places.look_again_at)
            try:
                is_news = await self.run_once()
                failures = 0
            except MusterError as error:  # also a refused token: it may be put right while we run
                failures += 1
                self._trouble.tell("claiming", error)
                await anyio.sleep(
                    next_delay(failures, first_s=RETRY_FIRST_S, delay_s_max=RETRY_DELAY_S_MAX, jitter=random.random())
                )
            else:
                if not is_news:
                    await anyio.sleep(PAUSE_S)

    async def run_once(self) -> bool:
        """One claim. True if it brought anything, also that the service refuses some of the locations."""
        held = self._keeper.held()
        locations = self._places.choose()
        claim = Claim(
            agent=self._agent,
            locations=locations,
            limit=ORDERS_MAX,
            wait_s=self._wait_s if self._has_claimed else 0.0,
            lease_s=self._lease_s,
            held=held,
        )
        try:
            claims = await self._service.claim(claim)
        except InvalidError as error:
            if not self._places.take_refusal(locations, error.findings):
                raise
            return True
        self._places.take_answer(locations)
        self._has_claimed = True
        self.claimed_at = self._now()
        return self._keeper.take(claims, renewed=held)

"""May an event be worked on beside others? One with which workers died may not: alone, it answers only for itself.

A worker that dies takes all that it held with it, and nobody can tell from outside which event of them did it, nor which of them were done
already and not handed in (docs/decisions/0012).
"""


def goes_alone(deaths: int, *, limit: int, slots: int) -> bool:
    """Must a worker hold nothing else while it works on an event?

    Args:
        deaths: how many workers died while they held it.
        limit: how often the event may be tried.
        slots: events at once of the worker. With one, alone costs nothing but the events held ahead, so one death is enough; with
            several it costs their slots, so that the first death may be a machine's that went away. Two tries leave no room for that.
    """
    return deaths >= (1 if slots == 1 or limit < 3 else 2)

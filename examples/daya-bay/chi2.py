"""The task: chi2 at one point of the plane.

An event is `{"sin2_2theta13": 0.0851, "dm2_32": 0.002466}`, its result the same with `"chi2"`. Loading takes about half
a second, a point about a millisecond: so a worker starts this program once and feeds it events (`warm: true`).
"""

from typing import Any

from analysis import Analysis, Point
from muster import task

ANALYSIS = Analysis.load()  # once, before the first event


def handle(event: Any) -> dict[str, float]:
    point = Point(sin2_2theta13=event["sin2_2theta13"], dm2_32=event["dm2_32"])
    return {"sin2_2theta13": point.sin2_2theta13, "dm2_32": point.dm2_32, "chi2": ANALYSIS.chi2(point)}


if __name__ == "__main__":
    task.run(handle)

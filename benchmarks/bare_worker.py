"""A worker without tasks: the worker's protocol over a socket, nothing else, so that what is measured is the service.

Run as a process, `bare_worker.py URL TASKFORCE PROC BATCH STOP_AFTER_S [keep-on]`,
with the enrolment secret on standard input. It prints when it
started, when it saw its last event, and how many it finished, as JSON.
"""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

RESULT = [{"kind": "json", "body": {"chi2": 578.7, "sin2_2theta13": 0.0851, "dm2_32": 0.002466, "note": "x" * 150}}]


def call(connection: http.client.HTTPConnection, path: str, token: str, body: dict[str, object]) -> dict[str, object]:
    """One POST; AssertionError on anything but success."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request("POST", f"/muster/v1/worker/{path}", body=json.dumps(body).encode(), headers=headers)
    response = connection.getresponse()
    data = response.read()
    assert response.status in {200, 201}, (response.status, data)
    answer = json.loads(data)
    assert isinstance(answer, dict)
    return answer


def main() -> None:
    """Enrol, then finish and lease until nothing has come for a second."""
    url, taskforce, proc, batch, stop_after_s, *more = sys.argv[1:]
    keeps_on = more == ["keep-on"]
    secret = sys.stdin.readline().strip()
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port or 80)
    enrolment = {
        "protocol": 1,
        "taskforce": taskforce,
        "secret": secret,
        "cluster": "1",
        "proc": int(proc),
        "start": 1,
        "host": "bench",
        "site": "bench",
        "worker_version": "bench",
    }
    token = str(call(connection, "enrol", "", enrolment)["token"])
    number, done, finished = 0, 0, list[dict[str, object]]()
    began = time.time()
    last = began
    end = began + float(stop_after_s)
    while time.time() < end:
        number += 1
        step = {"call": number, "finished": finished, "want": int(batch), "wait_s": 5 if keeps_on else 0}
        answer = call(connection, "step", token, step)
        verdicts, events = answer["verdicts"], answer["events"]
        assert isinstance(verdicts, list)
        assert isinstance(events, list)
        assert all(verdict == "done" for verdict in verdicts), verdicts
        done += len(verdicts)
        if verdicts:
            last = time.time()
        if not events and not keeps_on:
            break
        finished = [
            {
                "event": event["event"],
                "fence": event["fence"],
                "outcome": "done",
                "results": RESULT,
                "error": None,
                "wall_s": 0.0,
            }
            for event in events
        ]
    if finished and time.time() >= end:  # the time is over in the middle: hand in what is held
        answer = call(connection, "step", token, {"call": number + 1, "finished": finished, "want": 0, "wait_s": 0})
        done += len(finished)
        last = time.time()
    print(json.dumps({"began": began, "last": last, "done": done}))


main()

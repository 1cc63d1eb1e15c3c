"""Does a client that prints only the reason phrase see what went wrong, whatever stands in the text?

Source: wms.md sections 2.1 and 2.5. That the body's text and the reason phrase are the same is checked with every answer of
this suite (`caller.py`); here are texts that are hard to carry. Upstream says `Unknown` for some of them; that, and any
other text that is the same in both places, is right.
"""

from collections.abc import Iterator

import pytest
import requests

from compat.caller import REASON_BYTES_MAX, Service, read_answer
from compat.parties import Desk
from compat.samples import request, task, unknown_ids


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def test_the_exception_of_a_client_has_the_text(desk: Desk, service: Service) -> None:
    workflow_id = unknown_ids()["workflow_id"]
    response = requests.get(
        f"{service.url}/{desk.version}/workflows/{workflow_id}",
        headers={"Authorization": f"Bearer {service.token('user')}"},
        timeout=60,
    )

    with pytest.raises(requests.HTTPError) as raised:
        response.raise_for_status()

    assert f"404 Client Error: no workflow found with id: {workflow_id} for url" in str(raised.value)


def test_the_exception_of_a_tms_that_comes_too_late_has_the_text(desk: Desk, service: Service) -> None:
    uuid = unknown_ids()["taskforce_uuid"]
    response = requests.post(
        f"{service.url}/{desk.version}/tms/condor-complete/taskforces/{uuid}",
        headers={"Authorization": f"Bearer {service.token('system-tms')}"},
        json={"condor_complete_ts": 1},
        timeout=60,
    )

    with pytest.raises(requests.HTTPError, match=f"no non-condor-completed taskforce found with uuid: {uuid}"):
        response.raise_for_status()


def test_success_has_the_reason_of_its_status(desk: Desk) -> None:
    assert desk.user.get("/").reason == "OK"


@pytest.mark.parametrize(
    "name",
    [
        "süd",
        "日本",
        "<b>bold</b>",
        "tab\there",
        "one\rtwo",
        "one\ntwo",
        "x\r\nX-Injected: yes",
        "x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "nul\0here",
        "\x7f\x80\x85\u2028",
        "a" * 2000,
        "ä" * 2000,
        "'\"\\\\;",
        "%0d%0aX-Injected: yes",
        " ",
    ],
    ids=ascii,
)
def test_a_text_that_is_hard_to_carry_breaks_no_answer(desk: Desk, name: str) -> None:
    answer = desk.user.post("/workflows", request(task(cluster_locations=[name])), status=400)

    assert "X-Injected" not in answer.headers
    assert len(answer.reason.encode()) <= REASON_BYTES_MAX
    assert desk.user.get("/").body == {}, "the connection is still in step"


def test_a_long_text_is_whole_in_the_body_and_cut_in_the_reason(desk: Desk) -> None:
    name = "a" * 2000
    answer = desk.user.post("/workflows", request(task(cluster_locations=[name])), status=400)

    text = desk.dialect.unknown_location.format(name)
    assert (answer.error, answer.reason) == (text, text[:REASON_BYTES_MAX])


def test_one_connection_serves_errors_and_successes_alike(desk: Desk, service: Service) -> None:
    for _ in range(3):
        desk.user.get("/")
        desk.user.get("/workflows/WF-1", status=404)
        desk.user.post("/workflows", {"nonsense": 1}, status=400)
        desk.nobody.get("/", status=403)
        desk.nobody.call("HEAD", "/", status=405)
        desk.nobody.call("DELETE", "/", status=405)
        desk.user.call("GET", "/nothing", status=404)

    adapter = desk.session.get_adapter(service.url)
    assert isinstance(adapter, requests.adapters.HTTPAdapter)
    pools = adapter.poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - it is no dict


def test_a_body_that_is_refused_leaves_the_connection_in_step(desk: Desk, service: Service) -> None:
    with requests.Session() as session:
        for _ in range(2):
            refused = session.post(f"{service.url}/{desk.version}/workflows", data=b"x" * 100_000, timeout=60)
            assert read_answer("POST", refused).error == "authentication failed"

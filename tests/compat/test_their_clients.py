"""Do programs see our error texts through the libraries that EWMS's clients are made of?

Source: wms.md sections 2.1 and 2.5. `rest_tools` is the library that all of them share; it speaks through `requests`, which prints
the status line and not the body.
"""

import warnings

import pytest
import requests

from compat.caller import Service
from compat.samples import request, task, unknown_ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports, not ours
    from rest_tools.client import RestClient


@pytest.fixture
def client(service: Service) -> RestClient:
    return RestClient(f"{service.url}/{service.version}", token=service.token("user"), timeout=30, retries=0)


def test_their_client_gets_what_it_asks_for(client: RestClient) -> None:
    made = client.request_seq("POST", "/workflows", request(task()))

    workflow_id = made["workflow"]["workflow_id"]
    assert client.request_seq("GET", f"/workflows/{workflow_id}")["deactivated"] is None
    assert client.request_seq("POST", f"/workflows/{workflow_id}/actions/abort") == {
        "workflow_id": workflow_id,
        "n_taskforces": 1,
    }


def test_their_client_shows_the_text_of_an_error(client: RestClient) -> None:
    workflow_id = unknown_ids()["workflow_id"]

    with pytest.raises(requests.HTTPError, match=f"no workflow found with id: {workflow_id}"):
        client.request_seq("GET", f"/workflows/{workflow_id}")


def test_their_client_shows_every_fault_of_a_request(client: RestClient) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        client.request_seq("POST", "/workflows", {"tasks": [{}], "nonsense": 1})

    for text in (
        "'public_queue_aliases' is a required property",
        "'nonsense' was unexpected",
        "'tasks[0]': 'task_args'",
    ):
        assert text in str(caught.value)


def test_the_library_below_it_shows_the_text_too(service: Service) -> None:
    workflow_id = unknown_ids()["workflow_id"]
    answer = requests.get(
        f"{service.url}/{service.version}/workflows/{workflow_id}",
        headers={"Authorization": f"Bearer {service.token('user')}"},
        timeout=30,
    )

    with pytest.raises(
        requests.HTTPError, match=f"^404 Client Error: no workflow found with id: {workflow_id} for url"
    ):
        answer.raise_for_status()


def test_who_has_no_token_is_told_so(service: Service) -> None:
    client = RestClient(f"{service.url}/{service.version}", token="nobody's", timeout=30, retries=0)

    with pytest.raises(requests.HTTPError, match="403 Client Error: authentication failed for url"):
        client.request_seq("GET", "/")

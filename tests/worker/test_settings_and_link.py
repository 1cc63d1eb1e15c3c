"""Are settings read and checked whole, and is the way to the service a safe one?"""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muster.worker.link import AddressError, Link, LinkError, parse_address
from muster.worker.messages import UNKNOWN, UNREADABLE, MalformedError, parse_enrolled, parse_problem, parse_step_answer
from muster.worker.settings import (
    BATCH,
    IDLE_S,
    INIT_TIMEOUT_S,
    KEEP_TASK_FILES,
    KEPT_FAILURES,
    MOUNTS,
    TASK_START_S,
    VARIABLES,
    SettingsError,
    find_fault,
    list_strays,
    read_settings,
)
from worker.fake_service import TASK


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    enrol_file = tmp_path / "enrol.json"
    enrol_file.write_text(json.dumps({"taskforce": "tf", "secret": "s3cret"}))
    enrol_file.chmod(0o644)
    return {"MUSTER_WORKER_URL": "https://muster.example", "MUSTER_WORKER_ENROL_FILE": str(enrol_file)}


def test_defaults_and_the_enrolment_file_is_made_private(environ: dict[str, str], tmp_path: Path) -> None:
    settings = read_settings(environ)
    assert (settings.taskforce, settings.secret, settings.start) == ("tf", "s3cret", 0)
    assert (settings.offline_s, settings.grace_s, settings.batch) == (3600.0, 15.0, None)
    assert (tmp_path / "enrol.json").stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in repr(settings)


def test_the_environment_comes_before_the_file(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"MUSTER_WORKER_PROC": 7, "MUSTER_WORKER_GRACE_S": 1.5, "MUSTER_WORKER_SITE": "here"}))
    settings = read_settings({**environ, "MUSTER_WORKER_GRACE_S": "2"}, str(path))
    assert (settings.proc, settings.grace_s, settings.site) == (7, 2.0, "here")


def test_the_start_number_comes_from_the_job_ad(environ: dict[str, str], tmp_path: Path) -> None:
    ad = tmp_path / "job.ad"
    ad.write_text('Cmd = "x"\nNumJobStarts = 4\n')
    assert read_settings({**environ, "_CONDOR_JOB_AD": str(ad)}).start == 4
    assert read_settings({**environ, "_CONDOR_JOB_AD": str(ad), "MUSTER_WORKER_START": "9"}).start == 9


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MUSTER_WORKER_URL", "", "MUSTER_WORKER_URL is not set"),
        ("MUSTER_WORKER_ENROL_FILE", "/nowhere", "No such file"),
        ("MUSTER_WORKER_PROC", "one", "must be a whole number"),
        ("MUSTER_WORKER_PROC", "-1", "is '-1'; must be a whole number, 0 to"),
        ("MUSTER_WORKER_OFFLINE_S", "nan", "must be a number of seconds, 0 to"),
        ("MUSTER_WORKER_BATCH", "0", "is '0'; must be a whole number, 1 to"),
        ("MUSTER_WORKER_KEEP_TASK_FILES", "perhaps", "must be true or false"),
    ],
)
def test_wrong_settings_are_named(environ: dict[str, str], name: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_settings({**environ, name: value})


def test_a_variable_that_it_does_not_know_is_no_fault(environ: dict[str, str]) -> None:
    strays = {"MUSTER_WORKER_COLOUR": "blue", "MUSTER_WORKER_BATHC": "4", "MUSTER_PORT": "1", "MUSTER_": ""}
    assert read_settings({**environ, **strays}) == read_settings(environ)
    assert list_strays({**environ, **strays}) == ["MUSTER_WORKER_BATHC", "MUSTER_WORKER_COLOUR"]


def test_what_a_user_may_set_is_read_as_it_was_judged(environ: dict[str, str]) -> None:
    theirs = {
        BATCH: "4",
        TASK_START_S: "900.5",
        KEEP_TASK_FILES: "Yes",
        KEPT_FAILURES: "0",
        INIT_TIMEOUT_S: "60",
        IDLE_S: "600",
        MOUNTS: "/cvmfs",
    }
    assert {name for name, one in VARIABLES.items() if one.is_users} == set(theirs)
    assert [find_fault(name, text) for name, text in theirs.items()] == [None] * len(theirs)
    settings = read_settings({**environ, **theirs})
    assert (settings.batch, settings.task_start_s, settings.mounts) == (4, 900.5, ("/cvmfs",))
    assert (settings.keep_task_files, settings.failures_kept, settings.init_timeout_s) == (True, 0, 60.0)
    assert read_settings({**environ, **dict.fromkeys(theirs, "")}) == read_settings(environ)
    assert {find_fault(name, "") for name in theirs} == {None}


@pytest.mark.parametrize("content", ["s3cret", "[]", '{"taskforce": "tf"}', '{"taskforce": 1, "secret": "s3cret"}'])
def test_a_broken_enrolment_file_is_not_quoted(environ: dict[str, str], content: str) -> None:
    Path(environ["MUSTER_WORKER_ENROL_FILE"]).write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://muster.example", "plain http is for loopback addresses only"),
        ("http://10.0.0.1:80", "plain http is for loopback addresses only"),
        ("ftp://localhost", "must begin with https"),
        ("localhost:80", "must begin with https"),
        ("https://user:word@muster.example", "no user name or password"),
        ("https://muster.example:port", "MUSTER_WORKER_URL"),
    ],
)
def test_addresses_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        parse_address(url)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.8.8.8", "http://localhost", "http://[::1]:80/base/"])
def test_plain_http_to_loopback(url: str) -> None:
    assert parse_address(url).tls is None


def test_https_checks_certificates() -> None:
    tls = parse_address("https://muster.example/base").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(AddressError, match="MUSTER_WORKER_CA_FILE"):
        parse_address("https://muster.example", ca_file="/nowhere.pem")


def test_a_proxy_is_used_for_https_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:word@proxy.example:3129")
    monkeypatch.setenv("no_proxy", "inside.example")
    address = parse_address("https://muster.example")
    assert (address.proxy_host, address.proxy_port) == ("proxy.example", 3129)
    assert address.proxy_headers == {"Proxy-Authorization": "Basic bWU6d29yZA=="}
    assert parse_address("https://inside.example").proxy_host is None
    assert parse_address("http://127.0.0.1:1").proxy_host is None


class _Odd(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        how = self.path.rpartition("/")[2]
        if how == "close":
            self.close_connection = True
            return
        self.send_response(200 if how == "chunked" else 503)
        if how == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            return
        self.send_header("Retry-After", "7" if how == "seconds" else "Wed, 21 Oct 2065 07:28:00 GMT")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


def test_answers_of_odd_shapes() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Odd)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    link = Link(parse_address(f"http://127.0.0.1:{server.server_port}/base"))
    try:
        reply = link.post("/chunked", b"{}", timeout_s=5)
        assert (reply.status, reply.body) == (200, b"abcde")
        assert link.post("/seconds", b"{}", timeout_s=5).retry_after_s == 7.0
        assert link.post("/date", b"{}", timeout_s=5).retry_after_s is None
        with pytest.raises(LinkError) as caught:
            link.post("/close", b"{}", timeout_s=5)
        assert caught.value.is_stale
        assert link.post("/chunked", b"{}", timeout_s=5).body == b"abcde"
    finally:
        link.close()
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(LinkError, match="ConnectionRefusedError"):
        link.post("/chunked", b"{}", timeout_s=5)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'{"verdicts": [], "events": [1]}', b"[" * 10_000])
def test_an_answer_that_is_none(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_step_answer(raw)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("json", 1.1, "body is no str"),
        ("json", None, "body is no str"),
        ("json", "\ud83d", "surrogates not allowed"),
        ("bytes", "no base64!", "a body"),
        ("xml", "<a/>", "a body of the kind 'xml'"),
    ],
)
def test_an_event_whose_body_cannot_be_read_does_not_take_its_neighbour_along(
    kind: str, body: object, reason: str
) -> None:
    bad = {"event": "EV-1", "fence": 1, "attempt": 1, "kind": kind, "body": body, "alone": False}
    good = {**bad, "event": "EV-2", "kind": "json", "body": "1.10"}
    answer = {"verdicts": [], "events": [bad, good], "come_back_s": None, "stop": None}

    unreadable, lease = parse_step_answer(json.dumps(answer).encode()).leases

    assert (unreadable.event, unreadable.kind) == ("EV-1", UNKNOWN if kind == "xml" else UNREADABLE)
    assert reason in unreadable.body.decode()
    assert (lease.event, lease.kind, lease.body) == ("EV-2", "json", b"1.10")


@pytest.mark.parametrize(
    "stop",
    ["finish", {"how": "finish"}, {"how": "rest", "grace_s": 1}, {"how": "abort", "grace_s": -1}, {"grace_s": 1}],
)
def test_a_word_of_stopping_that_is_none(stop: object) -> None:
    answer = {"verdicts": [], "events": [], "come_back_s": None, "stop": stop}
    with pytest.raises(MalformedError):
        parse_step_answer(json.dumps(answer).encode())


def test_answers_may_grow_fields() -> None:
    answer = {"session": "1", "token": "t", "lease_s": 60, "batch": 16, "task": {**TASK, "new": 1}, "new": 2}
    assert parse_enrolled(json.dumps(answer).encode()).task.timeout_s is None
    assert "token='t'" not in repr(parse_enrolled(json.dumps(answer).encode()))


def test_problems_of_ours_and_of_others() -> None:
    raw = json.dumps({"code": "invalid", "error": "no", "findings": [{"field": "want", "reason": "is odd"}]})
    assert parse_problem(raw.encode()) == ("invalid", "no; want: is odd")
    assert parse_problem(b"<html>gateway") == ("", "<html>gateway")

"""Does `muster serve` tell what its settings are wrong in, and keep what it makes to its owner?"""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER
from harness.waiting import wait_for
from muster.cli.main import run

pytestmark = pytest.mark.system


def _serve(folder: Path, *, part: str = "serve", **variables: str) -> "subprocess.Popen[str]":
    """Without what the machine sets for itself: of `CI` for example, the service says that it does nothing."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_") and name != "CI"}
    return subprocess.Popen(
        [MUSTER, part], cwd=folder, env=ours | variables, umask=0o022, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("address", ["127.0.0.30:port", "[::1"])
def test_an_address_of_a_database_that_cannot_be_read_is_told_by_the_name_of_its_variable(
    tmp_path: Path, address: str
) -> None:
    with _serve(tmp_path, MUSTER_DATABASE_URL=f"postgresql://me:s3cret@{address}/x") as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert said.startswith("muster: MUSTER_DATABASE_URL: is no address that can be read")
    assert "s3cret" not in said


def test_a_port_that_is_taken_and_an_address_of_another_machine_are_told_by_their_variables(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with _serve(tmp_path, MUSTER_PORT=port) as process:
            _, of_port = process.communicate(timeout=60)
    with _serve(tmp_path, MUSTER_HOST="192.0.2.1") as elsewhere:
        _, of_host = elsewhere.communicate(timeout=60)
    with _serve(tmp_path, REST_HOST="host.invalid") as unknown:
        _, of_name = unknown.communicate(timeout=60)

    assert of_port == (
        f"muster: MUSTER_PORT: cannot listen on 127.0.0.1:{port}: Address already in use: stop the program that has it, or "
        "choose another port (0 takes a free one)\n"
    )
    assert of_host.startswith(
        "muster: MUSTER_HOST: cannot listen on 192.0.2.1:0: Cannot assign requested address: name an"
    )
    assert of_name.startswith("muster: REST_HOST: cannot listen on host.invalid:0: ")
    assert {process.returncode, elsewhere.returncode, unknown.returncode} == {4}


@pytest.mark.parametrize(
    ("place", "why"), [("/proc/none/muster.db", "No such file or directory"), ("{}/file/muster.db", "Not a directory")]
)
def test_a_database_where_there_can_be_none_is_told_by_its_variable_with_the_remedy(
    tmp_path: Path, place: str, why: str
) -> None:
    (tmp_path / "file").touch()
    with _serve(tmp_path, MUSTER_DATABASE_URL=f"sqlite:///{place.format(tmp_path)}") as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert said.startswith("muster: MUSTER_DATABASE_URL: ")
    assert said.endswith(f" cannot be used: {why}: name a file in a folder that this user may write\n")


def test_a_postgresql_that_does_not_answer_is_told_with_the_variable_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and nobody listens there
        port = silent.getsockname()[1]
        with _serve(tmp_path, MUSTER_DATABASE_URL=f"postgresql://me:s3cret@127.0.0.1:{port}/x") as process:
            _, said = process.communicate(timeout=60)

    assert process.returncode == 5
    assert said.startswith("muster: the database does not answer: ")
    assert said.endswith(". See that it runs, and that MUSTER_DATABASE_URL names it\n")
    assert "s3cret" not in said


def test_in_a_fresh_folder_everything_is_its_owners_and_an_open_database_is_refused(tmp_path: Path) -> None:
    state = tmp_path / ".muster"
    with _serve(tmp_path) as process:
        try:
            wait_for(lambda: (state / "muster.db-wal").exists() and (state / "token").exists(), "it has started")
            modes = {one.name: oct(stat.S_IMODE(one.stat().st_mode)) for one in (state, *state.iterdir())}
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    (state / "muster.db").chmod(0o644)
    with _serve(tmp_path) as refused:
        _, said = refused.communicate(timeout=60)

    private = ("muster.db", "muster.db-shm", "muster.db-wal", "muster.db.lock", "token")
    assert modes == {".muster": "0o700"} | dict.fromkeys(private, "0o600")
    assert refused.returncode == 4
    assert "others may read or write it" in said
    assert "say `chmod 600 .muster/muster.db`" in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"MUSTER_SIGN_IN": "off", "MUSTER_HOST": "0.0.0.0"},
            "MUSTER_SIGN_IN is off and the service would listen on 0.0.0.0",
        ),
        ({"MUSTER_SIGN_IN": "oidc"}, "MUSTER_SIGN_IN is oidc and no provider is named: name it with MUSTER_OIDC_URL"),
        (
            {"MUSTER_OIDC_URL": "https://idp.example.org", "MUSTER_OIDC_CA_FILE": "none.pem"},
            "MUSTER_OIDC_CA_FILE: none.pem cannot be used as certificates: No such file or directory",
        ),
    ],
)
def test_settings_of_sign_in_that_cannot_be_meant_end_the_start(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    with _serve(tmp_path, **variables) as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert sentence in said
    assert not (tmp_path / ".muster" / "token").exists()


def test_how_callers_sign_in_is_said_at_every_start(tmp_path: Path) -> None:
    said = {}
    for name, variables in {
        "off": {"MUSTER_SIGN_IN": "off", "CI": "true"},
        "oidc": {"MUSTER_OIDC_URL": "https://idp.example.org", "CI": "true"},
        "local": {"CI": "true"},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        with _serve(folder, **variables) as process:
            assert process.stderr is not None
            lines: list[str] = []
            while not (lines and "the service answers at" in lines[-1]):
                lines.append(process.stderr.readline())
                assert lines[-1], lines
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        said[name] = (lines[-1].partition("; ")[2].strip(), (folder / ".muster" / "token").exists())

    assert said == {
        "off": ("SIGN-IN IS OFF: whoever reaches it may do everything (MUSTER_SIGN_IN)", False),
        "oidc": ("sign-in: tokens of https://idp.example.org", False),
        "local": ("token: .muster/token", True),
    }


BROKER = {"HERE_URL": "https://muster.example.org", "BROKER_URL": "broker.example.org"}


def test_a_broker_without_its_keys_is_refused_with_what_would_do(tmp_path: Path) -> None:
    files = {
        "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "MUSTER_BROKER_PRIVATE_KEY_FILE": str(tmp_path / "private.pem"),
    }
    (tmp_path / "private.pem").write_text("no key")
    with _serve(tmp_path, **BROKER) as unset:
        _, said_of_unset = unset.communicate(timeout=60)
    with _serve(tmp_path, **BROKER, **files) as missing:
        _, said_of_missing = missing.communicate(timeout=60)
    (tmp_path / "public.pem").write_text("no key either")
    with _serve(tmp_path, **BROKER, **files) as unfit:
        _, said_of_unfit = unfit.communicate(timeout=60)

    assert (unset.returncode, missing.returncode, unfit.returncode) == (4, 4, 4)
    for name in ("MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE"):
        assert f"{name}: is not set, and a broker is" in said_of_unset
    assert f"BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE: {tmp_path}/public.pem cannot be read" in said_of_missing
    assert "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE: does not hold an RSA public key" in said_of_unfit
    assert "MUSTER_BROKER_PRIVATE_KEY_FILE: does not hold an RSA private key" in said_of_unfit
    assert "openssl genpkey" in said_of_unfit


def test_keys_that_do_not_do_are_only_told_where_there_is_no_broker(tmp_path: Path) -> None:
    named = {
        name: str(tmp_path / "nowhere.pem")
        for name in ("MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE")
    }
    with _serve(tmp_path, **named) as process:
        wait_for((tmp_path / ".muster/muster.db-wal").exists, "it goes on to its database")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    assert "key files for queue tokens cannot be used" in said


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with _serve(tmp_path, MUSTER_TLS_CERTIFICATE_FILE=str(tmp_path / "certificate.pem")) as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert "MUSTER_TLS_KEY_FILE: is not set, and the file of the certificate is" in said


UPSTREAMS = '{"far": {"schedd": "ap.example.org", "agent": "upstream"}}'


@pytest.mark.parametrize(
    ("variables", "fields"),
    [
        (BROKER, ["MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE"]),
        (
            BROKER | {"BROKER_URL": "amqp://broker", "HERE_URL": "here"},
            ["BROKER_URL", "MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE", "HERE_URL"],
        ),
        (
            BROKER | {"MUSTER_BROKER_PUBLIC_KEY_FILE": "here.pem", "MUSTER_BROKER_PRIVATE_KEY_FILE": "nowhere.pem"},
            ["MUSTER_BROKER_PRIVATE_KEY_FILE"],
        ),
        (
            BROKER | {"MUSTER_BROKER_PUBLIC_KEY_FILE": "here.pem", "MUSTER_BROKER_PRIVATE_KEY_FILE": "here.pem"},
            ["MUSTER_BROKER_PUBLIC_KEY_FILE", "MUSTER_BROKER_PRIVATE_KEY_FILE"],
        ),
        ({"MUSTER_TLS_CERTIFICATE_FILE": "here.pem"}, ["MUSTER_TLS_KEY_FILE"]),
        (
            {"MUSTER_TLS_CERTIFICATE_FILE": "nowhere.pem", "MUSTER_TLS_KEY_FILE": "here.pem"},
            ["MUSTER_TLS_CERTIFICATE_FILE"],
        ),
        (
            {"MUSTER_TLS_CERTIFICATE_FILE": "here.pem", "MUSTER_TLS_KEY_FILE": "here.pem"},
            ["MUSTER_TLS_CERTIFICATE_FILE"],
        ),
        ({"MUSTER_DATABASE_URL": "mongodb://db/x"}, ["MUSTER_DATABASE_URL"]),
        ({"MUSTER_DATABASE_URL": "postgresql://me@127.0.0.30:port/x"}, ["MUSTER_DATABASE_URL"]),
        ({"MUSTER_DATABASE_URL": "postgresql://me@[::1/x"}, ["MUSTER_DATABASE_URL"]),
        ({"MUSTER_DATABASE_URL": "sqlite:///here.pem"}, ["here.pem"]),
        (
            {"AUTH_OPENID_URL": "https://idp.example.org", "MUSTER_OIDC_CA_FILE": "here.pem"},
            ["MUSTER_OIDC_CA_FILE"],
        ),
        ({"MUSTER_TOKEN_FILE": "here.pem"}, ["MUSTER_TOKEN_FILE"]),
        ({"MUSTER_TOKEN_FILE": "."}, ["MUSTER_TOKEN_FILE"]),
        ({"MUSTER_LOCATIONS": UPSTREAMS}, ["MUSTER_PILOT_IMAGES_DIR"]),
        ({"MUSTER_PORT": "many"}, ["MUSTER_PORT"]),
        (
            {"MUSTER_TLS_KEY_FILE": "here.pem", "MUSTER_DATABASE_URL": "x"},
            ["MUSTER_DATABASE_URL", "MUSTER_TLS_CERTIFICATE_FILE"],
        ),
    ],
)
def test_what_a_start_is_refused_for_is_told_in_the_same_words_by_who_only_looks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    fields: list[str],
) -> None:
    (tmp_path / "here.pem").write_text("not what it should be")
    (tmp_path / "here.pem").chmod(0o644)
    with _serve(tmp_path, **variables) as process:
        _, said = process.communicate(timeout=60)
    for name in [*os.environ]:
        if name == "CI" or name.startswith("MUSTER_"):
            monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)

    assert (run(["settings"]), capsys.readouterr().err) == (process.returncode, said)
    lines = said.splitlines()
    faults = lines[1:] if lines[0] == "muster: these things are wrong:" else lines
    assert (process.returncode, [one.removeprefix("muster:").strip().partition(":")[0] for one in faults]) == (
        4,
        fields,
    )
    assert {one.name for one in tmp_path.iterdir()} == {"here.pem"}


def test_a_folder_of_images_that_may_come_later_is_told_and_keeps_nothing_from_starting(tmp_path: Path) -> None:
    later = tmp_path / "later"
    variables = {"MUSTER_LOCATIONS": UPSTREAMS, "MUSTER_PILOT_IMAGES_DIR": str(later)}
    with _serve(tmp_path, part="settings", **variables) as looks:
        _, said = looks.communicate(timeout=60)
    with _serve(tmp_path, **variables) as process:
        wait_for((tmp_path / ".muster/muster.db-wal").exists, "it goes on to its database")
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
    later.mkdir()
    with _serve(tmp_path, part="settings", **variables) as looks_again:
        _, said_of_empty = looks_again.communicate(timeout=60)

    fault = f"the folder of pilot images, {later}, cannot be read (No such file or directory)"
    assert looks.returncode == looks_again.returncode == 0
    assert f"mind: {fault}" in said
    assert fault in logged
    assert f"mind: {later} (MUSTER_PILOT_IMAGES_DIR) holds no pilot image" in said_of_empty


@pytest.mark.parametrize("part", ["serve", "site", "up"])
def test_a_part_does_not_start_with_variables_that_nobody_reads(tmp_path: Path, part: str) -> None:
    with _serve(
        tmp_path, part=part, MUSTER_PROT="8080", MUSTER_SITE_WORKER_MAX="1", MUSTER_TASK_COLOUR="blue"
    ) as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert sorted(said.splitlines()) == [
        "  MUSTER_PROT: is no variable that Muster knows; did you mean MUSTER_PORT?",
        "  MUSTER_SITE_WORKER_MAX: is no variable that Muster knows; did you mean MUSTER_SITE_WORKERS_MAX?",
        "muster: these things are wrong:",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_variables_of_the_services_that_it_replaces_are_enough(tmp_path: Path) -> None:
    theirs = {"REST_HOST": "127.0.0.1", "REST_PORT": "0", "LOG_LEVEL": "WARNING", "MONGODB_HOST": "db", "CI": "yes"}
    with _serve(tmp_path, **theirs) as process:
        try:
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(3)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    assert process.returncode == 0
    assert said[0].startswith("mind: MONGODB_HOST: no effect: state and queues are kept in the database")
    assert said[1] == "mind: CI: no effect: it switches nothing here; above all, it does not switch sign-in off\n"
    assert said[2].startswith("the service answers at http://127.0.0.1:")

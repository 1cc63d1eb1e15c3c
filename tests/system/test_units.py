"""Do the units of `deploy/systemd` do what they say under a real systemd: ready, watched, confined, started again, workers left alone?"""

from collections.abc import Iterator

import pytest

from harness.addresses import take_address
from harness.tally import check_account
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from services.fetching import ROOT, NotFetchedError
from services.systemd import Systemd, run_systemd

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

UNITS = ("muster-serve.service", "muster-site.service")
PORT = 8765


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with take_address() as address:
        yield address


@pytest.fixture(scope="module")
def systemd(address: str) -> Iterator[Systemd]:
    """With both units installed, as docs/operate/htcondor.md and docs/how-to/operate.md say, and their settings."""
    try:
        with run_systemd() as systemd:
            root, etc = systemd.root, systemd.root / "etc" / "muster"
            for name in UNITS:
                (root / "etc" / "systemd" / "system" / name).write_text(
                    (ROOT / "deploy" / "systemd" / name).read_text()
                )
            (etc / "serve.env").write_text(
                f"MUSTER_HOST={address}\nMUSTER_PORT={PORT}\nMUSTER_DATABASE_URL=sqlite:////var/lib/muster/muster.db\n"
                'MUSTER_LOCATIONS={"local": {"schedd": "local", "containers": false}}\n'
            )
            (etc / "site.env").write_text(
                f"MUSTER_SITE_NAME=lab\nMUSTER_SITE_URL=http://{address}:{PORT}\nMUSTER_SITE_LOCATIONS=local\n"
                "MUSTER_SITE_TOKEN_FILE=/etc/muster/site.token\nMUSTER_SITE_CONTAINERS=none\n"
            )
            systemd.run("systemctl", "daemon-reload")
            systemd.run("systemctl", "start", "muster-serve")
            systemd.run("install", "-m", "600", "-o", "muster", "/var/lib/muster/token", "/etc/muster/site.token")
            systemd.run("systemctl", "start", "muster-site")
            yield systemd
    except NotFetchedError as error:
        pytest.skip(str(error))


@pytest.fixture
def client(systemd: Systemd, address: str) -> Iterator[Client]:
    token = (systemd.root / "var" / "lib" / "muster" / "token").read_text().strip()
    with Client(f"http://{address}:{PORT}", token) as client:
        yield client


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault_in_a_unit(systemd: Systemd, unit: str) -> None:
    assert systemd.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}") == ""


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_active_once_it_has_said_that_it_is_ready_and_is_confined(systemd: Systemd, unit: str) -> None:
    assert systemd.show(unit, "ActiveState") == "active"
    [main] = [int(systemd.show(unit, "MainPID"))]
    status = systemd.run("cat", f"/proc/{main}/status")
    assert "NoNewPrivs:\t1" in status
    assert "Uid:\t4711\t4711\t4711\t4711" in status
    mounts = systemd.run("cat", f"/proc/{main}/mountinfo").splitlines()
    [root] = [line for line in mounts if line.split()[4] == "/"]
    assert root.split()[5].startswith("ro")


def kill_and_await(systemd: Systemd, unit: str) -> None:
    main = systemd.show(unit, "MainPID")
    systemd.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", unit)
    wait_for(
        lambda: systemd.show(unit, "ActiveState") == "active" and systemd.show(unit, "MainPID") != main,
        f"{unit} is back",
        deadline_s=60,
    )


def test_work_goes_on_over_kills_hangs_and_restarts_of_both(systemd: Systemd, client: Client) -> None:
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="cp {{INFILE}} {{OUTFILE}}",
        input_queue_aliases=["in"],
        n_workers=2,
    )
    workflow = client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in"])).workflow_id
    wait_for(lambda: len(client.list_workers(workflow).workers) == 2, "both are up", deadline_s=60)
    workers = {one.worker for one in client.list_workers(workflow).workers}

    for unit in UNITS:
        kill_and_await(systemd, unit)
        client.publish(workflow, "in", [{"n": n} for n in range(20)])
    systemd.run("systemctl", "restart", "muster-site")
    client.publish(workflow, "in", [{"n": n} for n in range(20)], close=True)

    wait_for(lambda: client.get_progress(workflow).input.done == 60, "all are done", deadline_s=90)
    check_account(client, workflow, published=60, done=60, dead=0)
    assert {one.worker for one in client.list_workers(workflow).workers} == workers, "no worker was started again"
    client.abort_workflow(workflow)
    wait_for(lambda: not client.list_workers(workflow).workers, "they are gone", deadline_s=60)


def test_one_that_hangs_is_killed_by_the_watchdog_and_started_again(systemd: Systemd) -> None:
    shorter = systemd.root / "etc" / "systemd" / "system" / "muster-site.service.d" / "shorter.conf"
    shorter.parent.mkdir()
    shorter.write_text("[Service]\nWatchdogSec=4\n")
    systemd.run("systemctl", "daemon-reload")
    systemd.run("systemctl", "restart", "muster-site")
    main = systemd.show("muster-site", "MainPID")

    systemd.run("kill", "-STOP", main)

    wait_for(lambda: systemd.show("muster-site", "NRestarts") == "1", "it was started again", deadline_s=60)
    wait_for(lambda: systemd.show("muster-site", "ActiveState") == "active", "it is back", deadline_s=60)
    assert systemd.show("muster-site", "MainPID") != main
    assert "Watchdog timeout" in systemd.run("journalctl", "--unit=muster-site", "--no-pager")

"""What does Muster do, from nothing to the result? Runs the scan as a person would, every command line shown; `make demo` calls it.

Everything is written into one fresh folder. Ends with status 1 when anything disagrees with what it must be.
"""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import in_container
import on_condor

HERE = Path(__file__).resolve().parent
ELSEWHERE = ("MUSTER_URL", "MUSTER_TOKEN", "MUSTER_TOKEN_FILE", "MUSTER_SETTINGS_FILE")
"""Variables by which commands would go to another service."""
UP_S_MAX = 30.0
"""Seconds that `muster up` may take until it says that it is up."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_S_MAX = 30.0
HISTORY_S_MAX = 60.0
PULL_MAX = 0.5
"""The best fit must be this near to the published values, in published standard deviations."""


class DemoError(Exception):
    """Something is not as it must be."""


class Ended(BaseException):
    """A signal asks the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Demo:
    """One run. `output` is made anew; commands run in `root`, where a person would stand."""

    root: Path
    output: Path
    side: int
    runtime: str = "plain"
    where: str = "processes"
    pool: on_condor.Pool | None = None
    times: list[tuple[str, float]] = field(default_factory=list)
    up: "subprocess.Popen[bytes] | None" = None

    @property
    def points(self) -> Path:
        return self.output / "points.jsonl"

    @property
    def results(self) -> Path:
        return self.output / "results.jsonl"

    def run(self) -> None:
        """The whole story."""
        file = HERE / "workflow.yaml" if self.runtime == "plain" else self.pack(HERE / "workflow.yaml")
        if self.where == "htcondor":
            self.start_pool()
        self.start()
        workflow = self.tell("muster", "workflow", "submit", self.show(file)).strip()
        self.tell(sys.executable, self.show(HERE / "points.py"), "--side", str(self.side), self.show(self.points))
        begun = time.monotonic()
        publish = ["muster", "queue", "publish", workflow, "points", self.show(self.points), "--close"]
        self.tell(*publish)
        self.tell("muster", "workflow", "watch", workflow, is_shown=True)
        self.times.append((f"{self.side**2} points, published to done", time.monotonic() - begun))
        self.tell("muster", "queue", "consume", workflow, "chi2", into=self.results)
        self.report()
        self.tell("muster", "workflow", "account", workflow, "--recount", is_shown=True)
        self.check(workflow)
        if self.pool is not None:
            self.check_history(self.pool, workflow)
        self.stop()

    def pack(self, plain: Path) -> Path:
        """Make ready to run the task in containers; returns the workflow's file."""
        begun = time.monotonic()
        programs = in_container.fetch_apptainer(self.tell)
        image = in_container.make_image(self.tell, in_container.list_programs(plain))
        file = self.output / "workflow.yaml"
        in_container.write_workflow(plain, image, file)
        print(f'$ export PATH="{programs}:$PATH"', flush=True)
        os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.times.append(("Apptainer and the image", time.monotonic() - begun))
        return file

    def start_pool(self) -> None:
        """Start an HTCondor pool, for whose schedd `muster up` is the access point from now on."""
        begun = time.monotonic()
        root = on_condor.fetch_condor(self.tell)
        apptainer = Path(str(shutil.which("apptainer")))
        self.pool = on_condor.Pool(self.output / "pool", root, apptainer=apptainer)
        variables = [f"{name}={value}" for name, value in self.pool.variables.items()]
        self.show_command(
            [*variables, "bash", self.show(on_condor.SCRIPTS / "start-pool.sh"), self.show(self.pool.folder)],
            suffix="&",
        )
        try:
            self.pool.start()
        except on_condor.PoolError as error:
            raise DemoError(str(error)) from None
        settings = {
            "CONDOR_CONFIG": str(self.pool.config),
            "MUSTER_SITE_POOL": "htcondor",
            "MUSTER_SITE_CONTAINERS": str(apptainer),
        }
        for name, value in settings.items():
            self.show_command(["export", f"{name}={value}"])
        os.environ.update(settings)
        slots = self.pool.ask("condor_status", "-af", "Name", "Cpus", "Memory")
        print("the pool: " + "; ".join("{} has {} CPUs and {} MiB".format(*line.split()) for line in slots) + "\n")
        self.times.append(("HTCondor, until it has a slot", time.monotonic() - begun))

    def check_history(self, pool: on_condor.Pool, workflow: str) -> None:
        """Every attempt names the job that made it, and the pool's history has each of them. Raises DemoError."""
        begun = time.monotonic()
        home = self.output / "muster"
        url, token = ((home / name).read_text().strip() for name in ("address", "token"))
        count, workers = on_condor.list_workers(url, token, workflow, "points")
        if count < self.side**2 or not workers:
            raise DemoError(f"{count} attempts were made, by {workers}; there must be {self.side**2} at least")
        while missing := workers - pool.list_history():  # they leave the queue when the workflow has ended
            if time.monotonic() - begun > HISTORY_S_MAX:
                raise DemoError(f"jobs {', '.join(sorted(missing))} made attempts, and are not in the pool's history")
            time.sleep(0.5)
        print(f"{count} attempts, by the jobs {', '.join(sorted(workers))} of the pool, each of them in its history\n")
        self.times.append(("every attempt found in the pool's history", time.monotonic() - begun))

    def start(self) -> None:
        """Start `muster up` and wait until it has said so."""
        log = self.output / "up.log"
        begun = time.monotonic()
        command = ["muster", "up", "--dir", self.show(self.output / "muster"), "--json"]
        self.show_command([*command[:-1]], suffix="&")
        with log.open("wb") as file:
            # A session of its own: Ctrl-C here is for the demo, which then stops it in order.
            self.up = subprocess.Popen(command, cwd=self.root, stdout=file, stderr=file, start_new_session=True)
        for name in ELSEWHERE:
            if os.environ.pop(name, None) is not None:
                self.show_command(["unset", name])
        self.show_command(["export", f"MUSTER_DIR={self.show(self.output / 'muster')}"])
        os.environ["MUSTER_DIR"] = str(self.output / "muster")
        while b'"url"' not in (said := log.read_bytes()):
            if self.up.poll() is not None or time.monotonic() - begun > UP_S_MAX:
                raise DemoError(f"muster up did not come up:\n{said.decode(errors='replace')}")
            time.sleep(0.02)
        ready = next(line for line in said.decode().splitlines() if '"url"' in line)
        print(f"up at {json.loads(ready)['url']}\n")
        self.times.append(("muster up, until it answers", time.monotonic() - begun))

    def report(self) -> None:
        """Fit, print, draw."""
        report = [sys.executable, self.show(HERE / "report.py"), self.show(self.results)]
        report += ["--points", self.show(self.points), "--output", self.show(self.output)]
        begun = time.monotonic()
        self.tell(*report, is_shown=True)
        self.times.append(("fit and figures", time.monotonic() - begun))

    def check(self, workflow: str) -> None:
        """Compare account, results and fit with what they must be. Raises DemoError."""
        wanted = self.side**2
        account = json.loads(self.ask("muster", "workflow", "account", workflow, "--recount", "--json"))
        found = {name: account[name] for name in ("published", "done", "lost", "counted_twice", "adds_up")}
        exact = {"published": wanted, "done": wanted, "lost": 0, "counted_twice": 0, "adds_up": True}
        if found != exact:
            raise DemoError(f"the account is {found}; it must be {exact}")
        with self.results.open() as file:
            count = sum(1 for _ in file)
        if count != wanted:
            raise DemoError(f"there are {count} results; there must be {wanted}")
        again = ["--points", str(self.points), "--output", str(self.output), "--json"]
        fit = json.loads(self.ask(sys.executable, str(HERE / "report.py"), str(self.results), *again))
        for name in ("sin2_2theta13", "dm2_32"):
            if abs(fit[name]["pull"]) > PULL_MAX:
                raise DemoError(f"{name} is {fit[name]['value']}, {fit[name]['pull']:+.2f} σ from the published value")

    def stop(self) -> None:
        """Stop everything that was started."""
        try:
            self.stop_up()
        finally:
            if self.pool is not None:
                self.pool.stop()

    def stop_up(self) -> None:
        """Stop `muster up` as Ctrl-C does, and see that it went well; kill it if it does not end."""
        if self.up is None or self.up.poll() is not None:
            return
        begun = time.monotonic()
        # A second Ctrl-C does not leave it behind: this takes STOP_S_MAX at most.
        heard = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
        self.up.send_signal(signal.SIGINT)
        try:
            status = self.up.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.up.kill()
            self.up.wait()
            raise DemoError(
                f"muster up did not stop in {STOP_S_MAX:.0f} s; see {self.output / 'muster/logs'}"
            ) from None
        finally:
            for number, handler in heard.items():
                signal.signal(number, handler)
        if status:
            raise DemoError(f"muster up ended with status {status}; see {self.output / 'up.log'}")
        self.times.append(("stopping everything", time.monotonic() - begun))

    def tell(self, *command: str, is_shown: bool = False, into: Path | None = None) -> str:
        """Show a command line and run it; its output goes to the terminal, to a file, or is returned. Raises DemoError."""
        self.show_command(command, suffix="" if into is None else f"> {self.show(into)}")
        begun = time.monotonic()
        if into is not None:
            with into.open("wb") as file:
                done = subprocess.run(command, cwd=self.root, stdout=file, check=False)
        else:
            done = subprocess.run(command, cwd=self.root, stdout=None if is_shown else subprocess.PIPE, check=False)
        if done.returncode:
            raise DemoError(f"`{shlex.join(command)}` ended with status {done.returncode}")
        text = "" if is_shown or into is not None else done.stdout.decode()
        print(text + f"({time.monotonic() - begun:.1f} s)\n", flush=True)
        return text

    def ask(self, *command: str) -> str:
        """Run a command silently and return what it says. Raises DemoError."""
        done = subprocess.run(command, cwd=self.root, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise DemoError(f"`{shlex.join(command)}` ended with status {done.returncode}")
        return done.stdout.decode()

    def show(self, path: Path) -> str:
        """A path as a person in the root folder would type it."""
        return os.path.relpath(path, self.root)

    def show_command(self, command: tuple[str, ...] | list[str], *, suffix: str = "") -> None:
        words = ["python" if word == sys.executable else word for word in command]
        print(
            f"\033[1m$ {shlex.join(words)} {suffix}\033[0m"
            if sys.stdout.isatty()
            else f"$ {shlex.join(words)} {suffix}"
        )
        sys.stdout.flush()


def main() -> None:
    """Run the demo, tell the times, say where things are."""
    parser = argparse.ArgumentParser(description="Run the Daya Bay scan with Muster and check what comes out.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="made anew (default: demo-output)")
    parser.add_argument("--side", type=int, default=100, help="points along each axis (default: 100, so 10,000 points)")
    parser.add_argument(
        "--runtime",
        choices=("plain", "apptainer"),
        default="plain",
        help="run the task as a plain command, or in containers (default: plain)",
    )
    parser.add_argument(
        "--pool",
        choices=("processes", "htcondor"),
        default="processes",
        help="workers are processes of this machine, or jobs of an HTCondor pool that the demo starts, in containers (default: processes)",
    )
    options = parser.parse_args()
    begun = time.monotonic()
    output = options.output.resolve()
    # What Python, matplotlib and the fonts it looks for keep goes to the output too, so that nothing else is written.
    os.environ["PYTHONPYCACHEPREFIX"] = str(output / "cache" / "python")
    os.environ["MPLCONFIGDIR"] = str(output / "cache" / "matplotlib")
    os.environ["XDG_CACHE_HOME"] = str(output / "cache")
    # The commands of this environment, also when it is not activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    follow_signals()
    try:
        with hold(output):
            runtime = "apptainer" if options.pool == "htcondor" else options.runtime
            demo = Demo(Path.cwd(), output, options.side, runtime, options.pool)
            try:
                demo.run()
            finally:
                demo.stop()
    except DemoError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        print("\ndemo: interrupted; nothing of it runs any more", file=sys.stderr)
        sys.exit(130)
    except Ended as error:
        print(f"\ndemo: ended by {signal.Signals(error.number).name}; nothing of it runs any more", file=sys.stderr)
        sys.exit(128 + error.number)
    for what, duration_s in [*demo.times, ("all of it", time.monotonic() - begun)]:
        print(f"{what:40} {duration_s:6.1f} s")
    print(f"\nThe figures: {demo.show(output / 'contour.png')}  {demo.show(output / 'dip.png')}")


def follow_signals() -> None:
    """Let what ends a program at once end this one in order, as Ctrl-C does: `muster up` has a session of its own and hears nothing."""

    def end(number: int, _frame: object) -> None:
        # Once is enough: `timeout` tells make and us, and make tells us again.
        signal.signal(number, signal.SIG_IGN)
        raise Ended(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


@contextmanager
def hold(output: Path) -> Iterator[None]:
    """Make the folder anew, if it is ours to throw away, and be the only demo in it. Raises DemoError."""
    mark = output / ".made-by-the-demo"
    if output.exists() and any(output.iterdir()) and not mark.exists():
        raise DemoError(f"{output} holds other things; name another folder with --output")
    output.mkdir(parents=True, exist_ok=True)
    with mark.open("a") as file:  # held for as long as this process lives, and therefore never thrown away
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"a demo is running here already, in {output}: let it end, or name another folder with --output"
            ) from None
        end_leftover(output / "muster" / "lock")
        for path in output.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
        (output / ".gitignore").write_text("*\n")
        yield


def end_leftover(lock: Path) -> None:
    """Stop the `muster up` of a demo that was killed; while it runs it holds its lock. Raises DemoError."""
    if not lock.exists():
        return
    begun = time.monotonic()
    asked = ""
    with lock.open() as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read_text().strip()
                if time.monotonic() - begun > STOP_S_MAX:
                    raise DemoError(f"process {holder} still uses {lock.parent}: kill it, then start again") from None
                if holder.isdigit() and holder != asked:  # once: the second time it would not wait for its workers
                    os.kill(int(holder), signal.SIGTERM)
                    asked = holder
                time.sleep(0.5)
            else:
                return


if __name__ == "__main__":
    main()

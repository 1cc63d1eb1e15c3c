"""How is a unit run by a real systemd on a machine that has none? As the first process of namespaces, over a view of this machine.

Root alone can do it. What it writes goes into memory, and everything is gone with it; the network is this machine's. Of devices it sees a
few, and what would change the kernel it shares with us is left out.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.waiting import wait_for
from services.fetching import ROOT, NotFetchedError, fetch

SCRIPT = ROOT / "tests" / "services" / "fetch-systemd.sh"
USER, USER_ID = "muster", 4711
_V2 = Path("/sys/fs/cgroup/cgroup.controllers")
_LEFT_OUT = (
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "proc-sys-fs-binfmt_misc.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-modules-load.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-utmp.service",
    "timers.target",
)
"""Units of a whole machine."""

_BOOT = """
set -eu
system=$1 work=$2 python=$3 packages=$4 sources=$5
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir -p "$work"/up "$work"/aside "$work"/root
cp -a "$system" "$work"/system
mount -t overlay -o "lowerdir=$work/system:/,upperdir=$work/up,workdir=$work/aside" overlay "$work"/root
R=$work/root
mount -t proc proc "$R"/proc
mount -t tmpfs -o mode=755 tmpfs "$R"/dev
for device in null zero full random urandom tty; do
    touch "$R"/dev/$device
    mount --bind /dev/$device "$R"/dev/$device
done
mkdir "$R"/dev/pts "$R"/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$R"/dev/pts
ln -s pts/ptmx "$R"/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs "$R"/dev/shm
mount --bind "$R"/proc/sys "$R"/proc/sys
mount -o remount,bind,ro "$R"/proc/sys
mount -t tmpfs -o mode=755 tmpfs "$R"/run
mount -t tmpfs -o mode=1777 tmpfs "$R"/tmp
mount -t sysfs -o ro sysfs "$R"/sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$R"/sys/fs/cgroup
else
    mount -t tmpfs tmpfs "$R"/sys/fs/cgroup
    mkdir "$R"/sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup "$R"/sys/fs/cgroup/systemd
fi
mkdir -p "$R"/opt/muster/bin "$R"/opt/python "$R"/opt/packages "$R"/opt/sources "$R"/etc/muster
mount --rbind "$python" "$R"/opt/python
mount --rbind "$packages" "$R"/opt/packages
mount --rbind "$sources" "$R"/opt/sources
cat >"$R"/opt/muster/bin/muster <<'PROGRAM'
#!/bin/sh
export PYTHONPATH=/opt/sources:/opt/packages PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/python3 -c 'import sys; from muster.cli.entry import main; sys.argv[0] = "muster"; sys.exit(main())' "$@"
PROGRAM
chmod 755 "$R"/opt/muster/bin/muster
grep -q '^@USER@:' "$R"/etc/passwd || echo '@USER@:x:@ID@:@ID@::/var/lib/@USER@:/bin/sh' >>"$R"/etc/passwd
grep -q '^@USER@:' "$R"/etc/group || echo '@USER@:x:@ID@:' >>"$R"/etc/group
mkdir -p "$R"/etc/systemd/system "$R"/var/log/journal "$R"/etc/ld.so.conf.d
echo /opt/python/lib >"$R"/etc/ld.so.conf.d/000-python.conf # before another Python's library
sed -i '1i include /etc/ld.so.conf.d/000-python.conf' "$R"/etc/ld.so.conf
chroot "$R" ldconfig
for unit in @LEFT_OUT@; do ln -sf /dev/null "$R"/etc/systemd/system/$unit; done
export container=other
cd "$R"
exec chroot "$R" /lib/systemd/systemd --system --log-target=journal --unit=basic.target
"""


@dataclass(frozen=True)
class Systemd:
    """A systemd that runs. `pid`: of it, as it is seen from here."""

    pid: int

    @property
    def root(self) -> Path:
        """Its view of the machine, as it is seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str, is_tried: bool = False, timeout_s: float = 90) -> str:
        """Run a program beside it; what it printed."""
        enter = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd=/")
        ran = subprocess.run(
            [*enter, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env={"PATH": "/usr/bin:/bin", "SYSTEMD_PAGER": "", "LANG": "C.UTF-8"},
        )
        assert is_tried or ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value")


@contextmanager
def run_systemd() -> Iterator[Systemd]:
    """One that has come up. Raises NotFetchedError where it cannot be had."""
    if os.getuid() != 0:
        raise NotFetchedError("a systemd of one's own is run by root alone")
    system = fetch("systemd", SCRIPT, "systemd") / "root"
    with tempfile.TemporaryDirectory(prefix="systemd-") as work, _own_group() as enter:
        python = Path(sys.base_prefix)
        packages = next(Path(one) for one in sys.path if one.endswith("site-packages"))
        script = _BOOT.replace("@USER@", USER).replace("@ID@", str(USER_ID)).replace("@LEFT_OUT@", " ".join(_LEFT_OUT))
        words = ["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child=KILL"]
        paths = (str(system), work, str(python), str(packages), str(ROOT / "src"))
        with subprocess.Popen(
            [*enter, *words, "bash", "-c", script, "boot", *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as outer:
            try:
                pid = wait_for(lambda: _find_child(outer), "it has begun")
                systemd = Systemd(pid)
                wait_for(
                    lambda: systemd.run("systemctl", "is-system-running", is_tried=True) in ("running", "degraded"),
                    "it is up",
                )
                yield systemd
            finally:
                outer.kill()
                outer.wait()


def _find_child(outer: "subprocess.Popen[bytes]") -> int:
    """The first process of the namespaces, once it has become systemd; 0 before."""
    if outer.poll() is not None:
        assert outer.stdout is not None
        raise NotFetchedError(f"systemd does not come up here: {outer.stdout.read().decode(errors='replace')[-300:]}")
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
    for child in children:
        if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
            return int(child)
    return 0


@contextmanager
def _own_group() -> Iterator[tuple[str, ...]]:
    """A control group that it may divide, and the words that put a command into it."""
    parent = Path("/sys/fs/cgroup" if _V2.exists() else "/sys/fs/cgroup/systemd")
    if not os.access(parent, os.W_OK):
        raise NotFetchedError("control groups cannot be made here")
    group = Path(tempfile.mkdtemp(prefix="muster-test-", dir=parent))
    try:
        yield ("bash", "-c", f'echo $$ >"{group}/cgroup.procs" && exec "$@"', "enter")
    finally:
        for found in sorted(group.rglob("cgroup.procs"), reverse=True):
            for pid in found.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: _remove(group), "its control groups are gone")


def _remove(group: Path) -> bool:
    for folder in sorted((one for one in group.rglob("*") if one.is_dir()), key=lambda one: -len(one.parts)):
        try:
            folder.rmdir()
        except OSError:
            return False
    try:
        group.rmdir()
    except OSError:
        return False
    return True

"""How does the scan run in containers? Apptainer, and an image of Debian's packages with the analysis and the data in it.

Both are made once, without root rights and without a registry, in `.cache` of the folder that holds Muster's sources.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dayabay_data_official
import yaml

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1]
SCRIPTS = SOURCES / "deploy" / "containers"
PACKAGES = ("dash", "coreutils", "python3-numpy", "python3-yaml")
PROGRAM = "/daya-bay"
"""Where the analysis is, in the image."""


def fetch_apptainer(run: Callable[..., object]) -> Path:
    """The folder of the program; that of this machine, if it has one. `run`: runs a command, and shows it."""
    installed = shutil.which("apptainer")
    if installed is not None:
        return Path(installed).parent
    folder = SOURCES / ".cache" / "apptainer"
    run("bash", str(SCRIPTS / "fetch-apptainer.sh"), str(folder))
    return folder / "bin"


def make_image(run: Callable[..., object], programs: Sequence[str]) -> Path:
    """The image, with these files of the analysis, as they are now, in it."""
    image = SOURCES / ".cache" / "daya-bay-image"
    run("bash", str(SCRIPTS / "make-image.sh"), str(image), *PACKAGES)
    place = image / PROGRAM.strip("/")
    place.mkdir(exist_ok=True)
    for name in programs:
        shutil.copy(HERE / name, place / name)
    for folder in find_data():
        shutil.copytree(folder, place / folder.name, dirs_exist_ok=True)
    return image


def find_data() -> Sequence[Path]:
    """The folders of the package that holds the data: itself, and what it says of itself."""
    package = Path(dayabay_data_official.__file__).parent
    return [package, *package.parent.glob(f"{package.name}-*.dist-info")]


def write_workflow(plain: Path, image: Path, place: Path) -> None:
    """The workflow of the plain one, with its task in the image, which has all that the task reads."""
    workflow: dict[str, Any] = yaml.safe_load(plain.read_text())
    [task] = workflow["tasks"]
    del task["input_files"]
    task["task_image"] = str(image)
    task["task_args"] = f"python3 {PROGRAM}/chi2.py {{{{INFILE}}}} {{{{OUTFILE}}}}"
    place.write_text(yaml.safe_dump(workflow, sort_keys=False))


def list_programs(plain: Path) -> Sequence[str]:
    """The files that the plain workflow's task needs."""
    [task] = yaml.safe_load(plain.read_text())["tasks"]
    programs: list[str] = task["input_files"]
    return programs

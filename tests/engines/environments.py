"""Python environments for workers and submitters, which run an installed wheel and never the checkout.

    the environment that runs the tests: Beam, numpy, …   ◀── .pth ── layered venv: python, and a wheel of Spanmill or none

A layered venv costs 50 ms and some kB, so a test can have one with Spanmill, one without, and one with another version of it. An
editable install in the environment below does not shine through: Python does not follow the .pth files of a folder that a .pth names.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from processes import clean_environment

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "tests", "benchmarks", "docs")


def build_wheel(folder: Path, version: str | None = None) -> Path:
    """A wheel of the tree as it stands, built from a copy so that nothing is left in it; `version` instead of its own."""
    copy = folder / f"tree-{version or 'as-it-is'}"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    if version:
        project = copy / "pyproject.toml"
        project.write_text(re.sub(r'(?m)^version = "[^"]+"', f'version = "{version}"', project.read_text(), count=1))
    wheels = folder / f"wheel-{version or 'as-it-is'}"
    _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(copy))
    shutil.rmtree(copy)
    return next(wheels.glob("*.whl"))


def layered_venv(path: Path, wheel: Path | None, *, beam: bool = True) -> Path:
    """A venv on top of the one that runs the tests, with `wheel` installed; `beam=False`: on top of nothing."""
    venv.create(path, with_pip=False, symlinks=True)
    if wheel:
        _pip("--python", str(path / "bin" / "python"), "install", "--no-deps", str(wheel))
    if beam:  # after the install, or pip would find there what it is to install here
        (site_packages(path) / "below.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return path


def site_packages(path: Path) -> Path:
    """A venv's folder of packages."""
    return path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    made = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=clean_environment())
    if made.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")

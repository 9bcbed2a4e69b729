"""Class paths of the job servers, fetched by Maven once and kept in .cache/engines, which git ignores."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from functools import cache
from pathlib import Path

from processes import NotStartedError

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "engines"
MEGABYTES = {"spark": 95, "flink": 152}

OPENED = (
    *("java.lang", "java.lang.invoke", "java.net", "java.nio", "java.time", "java.util", "java.util.concurrent"),
    *("sun.nio.ch", "sun.security.action", "sun.util.calendar"),
)
"""Packages of the JDK that Spark, Flink and Beam look into; Java 17 wants to be told."""

JAVA = (
    "java",
    # One core a process, short lives: the serial collector and the first compiler alone halve the time to the first task.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
"""How every Java process of the tests begins."""


def missing() -> str:
    """What of Java is not on this machine; empty where all is."""
    return next((f"no {tool}" for tool in ("java", "mvn") if shutil.which(tool) is None), "")


@cache
def jars(engine: str) -> Path:
    """The folder of an engine's jars, filled when the pom is new or has changed."""
    pom = HERE / engine / "pom.xml"
    folder = CACHE / f"{engine}-jars"
    stamp = folder / ".pom.sha256"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    goal = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
    command = ["mvn", "-q", "-B", "-f", str(pom), goal, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    if made.returncode:
        raise NotStartedError(
            f"Maven could not fetch the {MEGABYTES[engine]} MB of jars of {pom}:\n{made.stdout[-3000:]}{made.stderr[-2000:]}"
        )
    stamp.write_text(digest)
    return folder


def empty_jar(folder: Path) -> Path:
    """A jar with nothing in it, for --files_to_stage: see `spark_cluster`."""
    path = folder / "nothing.jar"
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    return path

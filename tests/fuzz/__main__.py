"""Fuzzes every target, or those named: `python -m tests.fuzz [NAME…]`; `FUZZ_SECONDS` each, 60 if not set.

`python -m tests.fuzz NAME FILE` tries one input. What was found stays in `.local/fuzz/<target>/`:
`corpus` for the next run, `crashes` for whoever mends them.
"""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import MOST_BYTES, TARGETS

FOUND = Path(".local/fuzz")
_HANG_SECONDS = 20
_MOST_MB = 1_024


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; return whether all went well."""
    folder = FOUND / name
    seeds, corpus, crashes = folder / "seeds", folder / "corpus", folder / "crashes"
    for each in (seeds, corpus, crashes):
        each.mkdir(parents=True, exist_ok=True)
    for data in TARGETS[name].seeds():
        (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    before = set(crashes.iterdir())
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", name, str(corpus), str(seeds)),
        *(f"-max_total_time={seconds}", f"-timeout={_HANG_SECONDS}", f"-rss_limit_mb={_MOST_MB}"),
        *(f"-max_len={MOST_BYTES}", f"-artifact_prefix={crashes}/", "-print_final_stats=1"),
    ]
    with (folder / "log").open("w") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    lines = (folder / "log").read_text(errors="replace").splitlines()
    runs = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "no")
    print(f"{'ok    ' if code == 0 else 'FAILED'} {name}: {runs} inputs", flush=True)
    if code:
        print("\n".join(line for line in lines[-60:] if not line.startswith(("#", "stat::"))))
        for crash in sorted(set(crashes.iterdir()) - before):
            print(f"to see it again: {sys.executable} -m tests.fuzz {name} {crash}")
        print(f"all it said: {folder / 'log'}", flush=True)
    return code == 0


def main(words: list[str]) -> int:
    """Return the exit code: 1 when any target failed."""
    if len(words) == 2 and words[0] in TARGETS and Path(words[1]).is_file():
        TARGETS[words[0]].try_one(Path(words[1]).read_bytes())
        print("nothing is wrong with it")
        return 0
    seconds, workers = (
        int(os.environ.get(name, most)) for name, most in (("FUZZ_SECONDS", 60), ("WORKERS", 2))
    )
    if unknown := [word for word in words if word not in TARGETS]:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
        return 2
    with ThreadPoolExecutor(workers) as pool:
        went_well = list(pool.map(lambda name: fuzz(name, seconds), words or list(TARGETS)))
    return 0 if all(went_well) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

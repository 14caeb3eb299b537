"""Fuzzes one target in this process until it fails or its time is over.

`python -m tests.fuzz.one NAME OPTION…`; the options are libFuzzer's.
"""

import sys

import atheris

with atheris.instrument_imports(include=["services", "mailparser_reply", "python_multipart"]):
    from tests.fuzz.mutation import changed
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until libFuzzer ends the process."""
    target = TARGETS[sys.argv[1]]

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        return changed(data, most, seed, atheris.Mutate, target.head_lines)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.try_one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The command `gradlint`. The version is printed before anything heavy is imported."""

from __future__ import annotations

import sys

from gradlint import __version__


def main() -> int:
    """Runs the command line and returns its exit code."""
    if sys.argv[1:2] in (["--version"], ["-V"]):
        sys.stdout.write(f"gradlint {__version__}\n")
        return 0
    from gradlint.encore import again
    from gradlint.garbage import rest

    rest()

    code = again(sys.argv[1:])
    if code is not None:
        return code
    from gradlint.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

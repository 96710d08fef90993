"""Write the description of the HTTP API from what its routes declare, or check it with --check."""

import json
import sys
from pathlib import Path

from tidegate_web.api_description import description

TARGET = Path(__file__).parent / "openapi.json"


def main(check: bool) -> int:
    """Write or check the file; returns the exit code."""
    text = json.dumps(description(), indent=1, ensure_ascii=False) + "\n"
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    if check:
        sys.stderr.write(f"docs/{TARGET.name} has drifted, run `make generate`\n")
        return 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))

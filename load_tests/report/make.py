"""One page with everything that was measured, and the README's table of it.

    make report                      # the page; and the README's table, of what is kept
    make report REPORT=--keep        # first keep what was just measured, for everyone
    python load_tests/report/make.py --out /tmp/report.html

The page is made of load_tests/out/ where something was measured here, else of what is kept in
load_tests/report/data/; the README's table only of what is kept. Neither measures anything, and
both need only Python.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from report.data import KEPT, MADE_BY, OUT, Unreadable, find, keep
from report.headline import NoMarkers, headline, put
from report.page import page

README = Path(__file__).parents[2] / "README.md"


def main() -> int:
    """Write both, and say what of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="copy what is in out/ to report/data/")
    parser.add_argument("--measured", type=Path, default=OUT, help="folder (load_tests/out)")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder (load_tests/report/data)")
    parser.add_argument("--out", type=Path, default=OUT / "report.html", help="the page")
    parser.add_argument("--readme", type=Path, default=README, help="whose table is made anew")
    options = parser.parse_args()
    try:
        if options.keep:
            kinds = keep(options.measured, options.kept)
            print(f"Kept: {', '.join(kinds) or 'nothing; nothing was measured here'}.")
        records = {kind: find(kind, [options.measured, options.kept]) for kind in MADE_BY}
        kept = {kind: find(kind, [options.kept]) for kind in MADE_BY}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(page(records), encoding="utf-8")
        readme = options.readme.read_text(encoding="utf-8")
        made = put(readme, headline(kept))
        if made != readme:
            options.readme.write_text(made, encoding="utf-8")
    except (Unreadable, NoMarkers, OSError) as error:
        print(f"Failed: {error}.", file=sys.stderr)
        return 1
    for kind, record in records.items():
        said = f"of {record.values['machine']['at']}" if record else f"missing: {MADE_BY[kind]}"
        print(f"{kind:6} {said}")
    print(f"Page: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What would the scan be without Muster? One process, one loop: points in, results out, both JSON lines."""

import json
import sys

from analysis import Analysis, Point


def main() -> None:
    analysis = Analysis.load()
    for line in sys.stdin:
        point = json.loads(line)
        print(json.dumps({**point, "chi2": analysis.chi2(Point(**point))}))


if __name__ == "__main__":
    main()

"""`python -m muster.worker`: the worker, from an installed package."""

import sys

from muster.worker.main import main

sys.exit(main())

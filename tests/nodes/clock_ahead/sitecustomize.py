"""Has a Python process take the time for a minute later than it is."""

import time

_now = time.time
time.time = lambda: _now() + 60

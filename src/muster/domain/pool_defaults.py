"""What holds for the workers of a pool where its operator says nothing? For the settings, and for the rules that are made of them.

Times in seconds; the sentences stand at the settings, `MUSTER_SITE_WORKER_…` and `MUSTER_SITE_CONDOR_…`.
"""

STARTS_MAX = 20
RESTART_S, RESTART_S_MAX, HEALTHY_S = 1.0, 60.0, 60.0
VACATE_S = 600.0
LEASE_S = 2400.0
FACTORY_FROM = 2000
IDLE_MAX = 1000
TRUTH_S = 300.0
PACKED_AFTER_S, KEPT_S = 86_400.0, 10 * 86_400.0
KEPT_MIB = 1024

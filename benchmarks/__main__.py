"""Measure everything, one claim after another."""

from benchmarks import (
    condor_submission,
    containers,
    depth,
    end_to_end,
    engine_over_http,
    idle_workers,
    launch,
    log_ingest,
    per_event,
    query_page,
    sign_in,
    slots,
    start_latency,
    start_up,
    streams,
    sustained,
    worker_memory,
    worker_start,
)

CLAIMS = (
    start_up,
    start_latency,
    worker_start,
    launch,
    sign_in,
    per_event,
    slots,
    containers,
    end_to_end,
    engine_over_http,
    sustained,
    worker_memory,
    streams,
    idle_workers,
    depth,
    query_page,
    log_ingest,
    condor_submission,
)

for claim in CLAIMS:
    print(f"== {claim.__name__}: {(claim.__doc__ or '').splitlines()[0]}", flush=True)
    claim.main()

"""Measure everything, one claim after another."""

from benchmarks import (
    depth,
    end_to_end,
    engine_over_http,
    per_event,
    query_page,
    sign_in,
    start_latency,
    streams,
    sustained,
)

for claim in (start_latency, sign_in, per_event, end_to_end, engine_over_http, sustained, streams, depth, query_page):
    print(f"== {claim.__name__}: {(claim.__doc__ or '').splitlines()[0]}", flush=True)
    claim.main()

"""What do a worker and the service say to each other? The protocol's version, paths, words and limits.

JSON over HTTPS (plain HTTP to loopback addresses only). Event ids travel as `EV-<16 hex digits>`. An event's body travels to
the worker as a string: its JSON text for the kind `json`, base64 for `bytes`. A result travels as
`{"kind": "json", "body": <any JSON value>}` or `{"kind": "bytes", "body": "<base64>"}`. The full description, with an
example of each message, is `docs/reference/worker-protocol.md`. Both sides import this module; it imports nothing.
"""

VERSION = 1
"""Sent with `enrol`. The service refuses (422) a version that it does not speak, and says which it does."""

OUTPUT_FILE, OUTPUT_LINES = "file", "lines"
"""What of a task's output is one event: all of it, or each line."""

ENROL = "/muster/v1/worker/enrol"
"""No token; the enrolment secret is in the body.

Request: `protocol`, `taskforce`, `secret`, `cluster` (string), `proc`, `start` (integers; a higher start of a proc ends the
sessions of the lower ones), `host`, `site`, `worker_version` (strings).
Answer: `protocol`, `session` (string), `token`, `token_ttl_s`, `lease_s`, `batch`, `file_bytes_max` (how large a file of FILES
may be; 0, and where it is missing: there are none), and `task`: `task_id`, `image`, `args`,
`env`, `init_image`, `init_args`, `init_env`, `timeout_s` (or null), `warm`, `max_events`, `infile_ext`, `outfile_ext`,
`slots`, `n_cores`, `n_outputs` (how many queues results go to; 0: results are kept with the event, nothing is sent on), `outputs` (their
aliases; where it is missing results must not name one),
`memory_bytes`, `disk_bytes` (what the tasks of a worker may use together; 0, and where it is missing: any number),
`gpus` (how many a worker needs; missing: 0), `output` (`file`, and where it is missing; or `lines`: each line of the output file, each item
of a list that a helper gives, is a result).
`takes_usage` (true: attempts may carry `usage`; where it is missing they must not), `takes_output` (the same of `output`),
`takes_isolation` (the first step may tell `isolation`).
"""

STEP = "/muster/v1/worker/step"
"""Hand in attempts and lease the next events: one transaction; renews the session too.

Request: `call` (1, 2, ...; a retry repeats the number and the body), `finished` (array of `event`, `fence`, `outcome`
(`done`, `failed`, `released`), `results` (array of `kind`, `body`, `to` (the alias of the one output queue that it goes to; null, and where
it is missing: every one)), `error` (`text`, `fingerprint`, `stdout_tail`, `stderr_tail`, `exit_code`; null unless failed), `final` (true,
only with `failed`, and left out otherwise: no other attempt can end better, so the event is a dead letter at once), `wall_s`, `usage`
(`cpu_s`, `memory_bytes`, `bytes_in`: each a number, or null where it is not known; it may be left out), `output` (only with `failed`, and
may be left out: `stdout`, `stderr`, each null where nothing was printed, or `data` (base64 of zlib, at most `OUTPUT_BYTES_MAX` bytes: the
beginning and the end) and `size_bytes` of all that was printed)),
`want` (events to lease at most), `wait_s` (how long to park when there are none), `isolation` (in a session's first step, and may be left
out: what the tasks are kept from others by: `bwrap`, a container tool's name, or `none: ` and why).
A call made while an earlier one is parked ends the parked one, which then answers without events.
Answer: `call`, `verdicts` (array of words, in the order of `finished`), `events` (array of `event`, `fence`, `attempt`,
`limit`, `key` (or null), `kind`, `body` (a string), `alone` (true: workers died with it; hold nothing else while it is at work),
`queue` (the alias of the queue where it waited; only of a task that reads several)),
`come_back_s` (a number when the service would rather not park: ask again then; else null), `stop` (null, or `how` and `grace_s`:
hand in or give back what is held, then leave. `how`: `finish` or `abort`. `grace_s`: how long the tasks at work may go on, in
seconds from the first word of the end, also where that was a signal; 0 with `abort`; `UNHURRIED_S` of workers that are let go),
`held` (true: no event is to be begun for now, since the workflow is stopped for a while or the worker's host rests; give back what
waits, and ask on, when `come_back_s` says where it is a number).
"""

UNHURRIED_S = 31_622_400.0
"""A `grace_s` as good as none: tasks at work end when they end. A shorter one that follows counts from when it is said."""

RENEW = "/muster/v1/worker/renew"
"""Request: `held` (array of `[event, fence]`), `tails` (array of `event`, `fence`, `stdout`, `stderr`: each `data`, base64 of at most the
last `TAIL_BYTES_MAX` bytes that were printed, and `size_bytes` of all of it; only for events that the last answer named in `watched`).
Answer: `lease_s`, `lost` (array of events no longer held: stop their tasks, hand nothing in), `stop`, `held` (as in STEP), `token` (a fresh
one, or null while the old one has more than half of its time), `watched` (array of events whose output somebody looks at; it may be
missing)."""

LEAVE = "/muster/v1/worker/leave"
"""Request: `reason`. What the session still holds goes back uncounted. Answer: `{}`."""

OUTPUT_BYTES_MAX = 1 << 16
"""Of each stream that a failed attempt printed, compressed."""

TAIL_BYTES_MAX = 1 << 14
"""Of each stream of a task at work."""
FILES = "/muster/v1/worker/files"
"""Bodies over 1 MiB. POST: `size_bytes`, `checksum` (`sha256:` and hex digits), `content` (`json`, `text`, `bytes`): what will be sent.
Answer: `file`, `state` (`promised`: to be sent; `stored`: it is there). PUT `FILES/<file>`: the bytes. GET `FILES/<file>`: the bytes of
an event that the session holds. An event with such a body has the kind `file`, and as body the JSON text of `file`, `size_bytes`,
`checksum`, `content`; a result travels as `{"kind": "file", "body": "<file>"}` once it is sent."""

SESSION_ENDED = 410
"""Status of STEP, RENEW and LEAVE when the session is over. Enrol again (the same start) unless told to stop; attempts finished meanwhile
may be handed in under the new session: the service recognises them by their fence."""

REFUSED = (401, 403, 422)
"""Statuses of ENROL that mean: this taskforce has ended or the secret is wrong. Leave with exit status 0 for 403 with
code `taskforce-ended`, 1 otherwise."""

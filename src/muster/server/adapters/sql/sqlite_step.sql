-- The hot statements of the queue engine on SQLite, each under its name. One writer: nothing needs a lock here.
-- Every lease that was ever given is in exactly one place, found by (event, fence): `leased` while it is in force,
-- `attempt` when it ended without ending its event, `finished` when it ended its event (with LATE, in both).

-- name: session
SELECT call FROM holder WHERE number = ? AND ended IS NULL;

-- name: renew
UPDATE holder SET until = max(until, ?), call = max(call, ?) WHERE number = ? AND ended IS NULL;

-- name: rule
SELECT attempts, retry_s FROM queue WHERE number = ?;

-- name: peek
SELECT r.event, r.fence, r.attempts, e.kind, e.key, e.body
FROM ready AS r JOIN event AS e ON e.id = r.event
WHERE r.queue = ? ORDER BY r.event LIMIT ?;

-- name: lease
INSERT INTO leased (event, queue, holder, call, attempts, fence, since)
SELECT event, queue, ?, ?, attempts + 1, fence + 1, ? FROM ready WHERE queue = ? AND event <= ?;

-- name: unready
DELETE FROM ready WHERE queue = ? AND event <= ?;

-- name: leased_by_call
SELECT l.event, l.fence, l.attempts, e.kind, e.key, e.body, l.queue
FROM leased AS l JOIN event AS e ON e.id = l.event
WHERE l.holder = ? AND l.call = ? ORDER BY l.event;

-- name: held
SELECT event, fence FROM leased WHERE holder = ?;

-- name: held_leases
SELECT event, queue, holder, attempts, fence, since FROM leased WHERE holder = ?;

-- name: drop_leased
DELETE FROM leased WHERE event = ?;

-- name: take_own
DELETE FROM leased WHERE event = ? AND fence = ? AND holder = ? RETURNING queue, holder, attempts, fence, since;

-- name: take_leased
DELETE FROM leased WHERE event = ? RETURNING queue, holder, attempts, fence, since;

-- name: take_ready
DELETE FROM ready WHERE queue = ? AND event = ? RETURNING attempts;

-- name: take_delayed
DELETE FROM delayed WHERE queue = ? AND event = ? RETURNING attempts;

-- name: take_dead
DELETE FROM dead WHERE queue = ? AND event = ? RETURNING attempts;

-- name: take_held
DELETE FROM leased WHERE holder = ? RETURNING call, event, queue, attempts, fence, since;

-- name: find_leased
SELECT holder FROM leased WHERE event = ? AND fence = ?;

-- name: find_finished
SELECT holder, late FROM finished WHERE event = ? AND fence = ?;

-- name: find_attempt
SELECT holder, "end", queue, since, wall_s, cpu_us, memory_bytes, bytes_in, bytes_out FROM attempt WHERE event = ? AND fence = ?;

-- name: deaths
SELECT count(*) FROM attempt WHERE event = ? AND "end" IN (3, 6);

-- name: find_dead
SELECT 1 FROM dead WHERE queue = ? AND event = ? AND fence = ?;

-- name: is_finished
SELECT 1 FROM finished WHERE event = ?;

-- name: is_kin
SELECT 1 FROM holder AS a JOIN holder AS b ON b.number = ?
WHERE a.number = ? AND (a.number = b.number OR a.taskforce_uuid = b.taskforce_uuid
    OR (a.taskforce_uuid IS NULL AND b.taskforce_uuid IS NULL AND a.consumer_queue = b.consumer_queue AND a.owner = b.owner));

-- name: finish
INSERT INTO finished
    (event, queue, holder, fence, attempts, late, since, at, wall_s, results, first_result, kind, result,
    cpu_us, memory_bytes, bytes_in, bytes_out)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: publish
-- A result carries the key of the event that it comes from.
INSERT INTO event (id, queue, parent, kind, key, body)
VALUES (?1, ?2, ?3, ?4, (SELECT key FROM event WHERE id = ?3), ?5);

-- name: ready
INSERT INTO ready (queue, event, attempts, fence) VALUES (?, ?, ?, ?);

-- name: delay
INSERT INTO delayed (queue, event, attempts, fence, due) VALUES (?, ?, ?, ?, ?);

-- name: due
SELECT queue, event, attempts, fence FROM delayed WHERE due <= ? ORDER BY due LIMIT ?;

-- name: undelay
DELETE FROM delayed WHERE queue = ? AND event = ?;

-- name: next_due
SELECT min(due) FROM delayed;

-- name: bury
INSERT INTO dead (queue, event, attempts, fence, at) VALUES (?, ?, ?, ?, ?);

-- name: attempt
INSERT INTO attempt (event, fence, queue, holder, "end", since, at, wall_s, fingerprint, error,
    cpu_us, memory_bytes, bytes_in, bytes_out)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: end_attempt
UPDATE attempt SET "end" = ?, at = ?, wall_s = ?, cpu_us = ?, memory_bytes = ?, bytes_in = ?, bytes_out = ? WHERE event = ? AND fence = ?;

-- name: delta
INSERT INTO delta (queue, published, waiting, in_work, done, dead, failed, duplicates,
    wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: expired
SELECT h.number, h.at_once FROM holder_live AS v JOIN holder AS h ON h.number = v.number
WHERE h.until < ? AND h.ended IS NULL ORDER BY h.number LIMIT ?;

-- name: end_session
UPDATE holder SET ended = ? WHERE number = ? AND ended IS NULL;

-- name: unlive
DELETE FROM holder_live WHERE number = ?;

-- name: fold
-- total() where sum() would fail: nobody's nonsense may keep the others' counters from being folded. It is exact up to 285 years at once.
INSERT INTO counter (queue, published, waiting, in_work, done, dead, failed, duplicates,
    wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes)
SELECT queue, sum(published), sum(waiting), sum(in_work), sum(done), sum(dead), sum(failed), sum(duplicates),
    CAST(min(total(wall_us), 4e18) AS INTEGER), CAST(min(total(lost_us), 4e18) AS INTEGER),
    CAST(min(total(measured_us), 4e18) AS INTEGER), CAST(min(total(cpu_us), 4e18) AS INTEGER),
    CAST(min(total(bytes_in), 4e18) AS INTEGER), CAST(min(total(bytes_out), 4e18) AS INTEGER), max(memory_bytes)
FROM delta WHERE true GROUP BY queue
ON CONFLICT (queue) DO UPDATE SET published = published + excluded.published, waiting = waiting + excluded.waiting,
    in_work = in_work + excluded.in_work, done = done + excluded.done, dead = dead + excluded.dead,
    failed = failed + excluded.failed, duplicates = duplicates + excluded.duplicates,
    wall_us = min(wall_us + excluded.wall_us, 4000000000000000000),
    lost_us = min(lost_us + excluded.lost_us, 4000000000000000000),
    measured_us = min(measured_us + excluded.measured_us, 4000000000000000000),
    cpu_us = min(cpu_us + excluded.cpu_us, 4000000000000000000),
    bytes_in = min(bytes_in + excluded.bytes_in, 4000000000000000000),
    bytes_out = min(bytes_out + excluded.bytes_out, 4000000000000000000),
    memory_bytes = max(memory_bytes, excluded.memory_bytes);

-- name: folded
DELETE FROM delta;

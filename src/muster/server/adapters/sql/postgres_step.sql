-- The hot path of the queue engine on PostgreSQL: functions, each one call, one round trip, one transaction.
-- Every hot connection makes its own copy of them (schema pg_temp), so that the functions are always those of the service
-- that calls them, also while two versions of it run. Arrays come in, rows go out.
--
-- Every lease that was ever given is in exactly one place, found by (event, fence): `leased` while it is in force,
-- `attempt` when it ended without ending its event, `finished` when it ended its event (with LATE, in both).
-- A row leaves a table in the statement that says who takes it on (DELETE ... RETURNING), so nothing moves twice.
-- Locks: sessions first, in order of number; whoever ends a lease that is not its own waits for one row at a time.
-- VOLATILE: each statement sees what was committed before it began, which the ladder needs.
-- Plans: a plan made while tables were empty stays, and may be hundreds of times too slow. The step, which planning would cost half
-- of its time, leaves no choice: every table is looked up by its key, `= ANY` of an array, and joined by hash; no condition of its
-- fits a partial index. (Its `enable_*` hold in the functions that it calls.) The others are planned for each call: force_custom_plan.

-- Seconds from a failed attempt to the next one: domain.retry.
CREATE FUNCTION pg_temp.muster_pause(p_attempts integer, p_retry_s float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS $function$
    SELECT least(greatest(300, p_retry_s), p_retry_s * power(2, least(p_attempts - 1, 60)))
$function$;

-- What becomes of one attempt that is not simply done under a lease in force.
-- Outcomes: 1 done, 2 failed, 3 released. Ends: domain.attempt.AttemptEnd.
-- Verdicts: 1 done, 2 late, 3 duplicate, 4 requeued, 5 dead, 6 stale, 7 unknown. o_waiting ... o_duplicates: what to count.
-- o_delayed: the event waits, and for a while not in its queue.
-- o_usage: what to add to the sums of usage, in their order: wall, lost, measured, CPU, bytes in, bytes out, memory (which is no sum).
CREATE FUNCTION pg_temp.muster_judge(
    p_now float8, p_holder bigint, p_event bigint, p_fence integer, p_outcome smallint, p_wall_s float8,
    p_fingerprint text, p_error text, p_results smallint, p_first_result bigint, p_kind smallint, p_result bytea,
    p_cpu_us bigint, p_memory_bytes bigint, p_bytes_in bigint, p_bytes_out bigint,
    OUT o_verdict smallint, OUT o_queue integer,
    OUT o_waiting integer, OUT o_in_work integer, OUT o_done integer, OUT o_dead integer,
    OUT o_failed integer, OUT o_duplicates integer, OUT o_delayed boolean, OUT o_usage bigint[]
) LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    v_lease leased%ROWTYPE;
    v_newer leased%ROWTYPE;
    v_attempt attempt%ROWTYPE;
    v_finished finished%ROWTYPE;
    v_attempts smallint;
    v_limit integer;
    v_retry_s float8;
    v_wall_us CONSTANT bigint := round(p_wall_s * 1e6);
    v_taken CONSTANT bigint[] := ARRAY[v_wall_us, v_wall_us, CASE WHEN p_cpu_us IS NULL THEN 0 ELSE v_wall_us END,
        coalesce(p_cpu_us, 0), coalesce(p_bytes_in, 0), p_bytes_out, coalesce(p_memory_bytes, 0)];
    v_wall_before bigint;
    v_before bigint[] := '{0,0,0,0,0,0}';  -- what the sums have of it already
    v_is_final CONSTANT boolean := p_outcome = 4;  -- failed, and no other attempt can end better
BEGIN
    IF v_is_final THEN
        p_outcome := 2;
    END IF;
    o_delayed := false;
    o_usage := '{0,0,0,0,0,0,0}';
    o_waiting := 0; o_in_work := 0; o_done := 0; o_dead := 0; o_failed := 0; o_duplicates := 0;
    <<ladder>>
    FOR v_try IN 1..101 LOOP
        IF v_try = 101 THEN
            RAISE EXCEPTION 'event % moves without end', p_event USING ERRCODE = 'serialization_failure';
        END IF;

        -- The lease in force.
        DELETE FROM leased WHERE event = p_event AND fence = p_fence AND holder = p_holder RETURNING * INTO v_lease;
        IF FOUND THEN
            o_queue := v_lease.queue; o_in_work := -1;
            IF p_outcome = 1 THEN
                o_verdict := 1;
                EXIT ladder;
            END IF;
            INSERT INTO attempt (event, fence, queue, holder, "end", since, at, wall_s, fingerprint, error,
                cpu_us, memory_bytes, bytes_in, bytes_out)
            VALUES (p_event, p_fence, v_lease.queue, p_holder, p_outcome - 1, v_lease.since, p_now, p_wall_s,
                p_fingerprint, p_error, p_cpu_us, p_memory_bytes, p_bytes_in, p_bytes_out);
            o_usage := v_taken;
            v_attempts := v_lease.attempts - CASE WHEN p_outcome = 3 THEN 1 ELSE 0 END;
            o_failed := CASE WHEN p_outcome = 2 THEN 1 ELSE 0 END;
            SELECT q.attempts, q.retry_s INTO STRICT v_limit, v_retry_s FROM queue q WHERE q.number = v_lease.queue;
            IF p_outcome = 2 AND (v_is_final OR v_attempts >= v_limit) THEN
                INSERT INTO dead (queue, event, attempts, fence, at)
                VALUES (v_lease.queue, p_event, v_attempts, p_fence, p_now);
                o_verdict := 5; o_dead := 1;
            ELSIF p_outcome = 2 AND v_retry_s > 0 THEN
                INSERT INTO delayed (queue, event, attempts, fence, due)
                VALUES (v_lease.queue, p_event, v_attempts, p_fence, p_now + pg_temp.muster_pause(v_attempts, v_retry_s));
                o_verdict := 4; o_waiting := 1; o_delayed := true;
            ELSE
                INSERT INTO ready (queue, event, attempts, fence) VALUES (v_lease.queue, p_event, v_attempts, p_fence);
                o_verdict := 4; o_waiting := 1;
            END IF;
            RETURN;
        END IF;

        -- The lease in force of another session.
        SELECT * INTO v_lease FROM leased WHERE event = p_event AND fence = p_fence;
        IF FOUND THEN
            IF NOT pg_temp.muster_is_kin(p_holder, v_lease.holder) THEN
                o_verdict := 7;
                RETURN;
            ELSIF p_outcome <> 1 THEN
                o_verdict := 6;
                RETURN;
            END IF;
            DELETE FROM leased WHERE event = p_event AND fence = p_fence RETURNING * INTO v_lease;
            CONTINUE ladder WHEN NOT FOUND;
            o_queue := v_lease.queue; o_in_work := -1; o_verdict := 2;
            EXIT ladder;
        END IF;

        -- Done, by this very attempt. (A lease that was not in `leased` above had come to rest by then.)
        SELECT * INTO v_finished FROM finished WHERE event = p_event AND fence = p_fence;
        IF FOUND THEN
            o_verdict := CASE WHEN NOT pg_temp.muster_is_kin(p_holder, v_finished.holder) THEN 7
                              WHEN p_outcome <> 1 THEN 6 WHEN v_finished.late THEN 2 ELSE 1 END;
            RETURN;
        END IF;

        -- Ended without ending its event.
        SELECT * INTO v_attempt FROM attempt WHERE event = p_event AND fence = p_fence;
        IF NOT FOUND OR NOT pg_temp.muster_is_kin(p_holder, v_attempt.holder) THEN
            o_verdict := 7;
            RETURN;
        END IF;
        IF p_outcome = 2 AND v_attempt."end" = 1 THEN
            PERFORM 1 FROM dead WHERE queue = v_attempt.queue AND event = p_event AND fence = p_fence;
            o_verdict := CASE WHEN FOUND THEN 5 ELSE 4 END;
            RETURN;
        ELSIF p_outcome = 3 AND v_attempt."end" = 2 THEN
            o_verdict := 4;
            RETURN;
        ELSIF p_outcome <> 1 OR v_attempt."end" = 1 THEN
            o_verdict := 6;
            RETURN;
        END IF;

        IF v_attempt.bytes_out IS NOT NULL THEN
            v_wall_before := round(v_attempt.wall_s * 1e6);
            v_before := ARRAY[v_wall_before, v_wall_before, CASE WHEN v_attempt.cpu_us IS NULL THEN 0 ELSE v_wall_before END,
                coalesce(v_attempt.cpu_us, 0), coalesce(v_attempt.bytes_in, 0), v_attempt.bytes_out];
        END IF;

        -- A result of a lease that had ended: it counts unless the event is done. Wherever the event is, take it from there.
        v_lease.queue := v_attempt.queue; v_lease.holder := v_attempt.holder; v_lease.since := v_attempt.since;
        o_queue := v_attempt.queue; o_verdict := 2;
        DELETE FROM leased WHERE event = p_event RETURNING * INTO v_newer;
        IF FOUND THEN  -- its holder learns at its next renewal
            INSERT INTO attempt (event, fence, queue, holder, "end", since, at, wall_s)
            VALUES (p_event, v_newer.fence, v_newer.queue, v_newer.holder, 2, v_newer.since, p_now, 0);
            o_in_work := -1; v_lease.attempts := v_newer.attempts - 1;
            EXIT ladder;
        END IF;
        DELETE FROM ready WHERE queue = v_attempt.queue AND event = p_event RETURNING attempts INTO v_attempts;
        IF FOUND THEN
            o_waiting := -1; v_lease.attempts := v_attempts;
            EXIT ladder;
        END IF;
        DELETE FROM delayed WHERE queue = v_attempt.queue AND event = p_event RETURNING attempts INTO v_attempts;
        IF FOUND THEN
            o_waiting := -1; v_lease.attempts := v_attempts;
            EXIT ladder;
        END IF;
        DELETE FROM dead WHERE queue = v_attempt.queue AND event = p_event RETURNING attempts INTO v_attempts;
        IF FOUND THEN
            o_dead := -1; v_lease.attempts := v_attempts;
            EXIT ladder;
        END IF;
        SELECT * INTO v_finished FROM finished WHERE event = p_event;
        CONTINUE ladder WHEN NOT FOUND;  -- it moved between two of these statements
        CONTINUE ladder WHEN v_finished.fence = p_fence;  -- by this attempt, handed in twice at once
        o_verdict := 3;
        IF v_attempt."end" <> 5 THEN  -- else it was handed in before, and is kept as it was then
            UPDATE attempt SET "end" = 5, at = p_now, wall_s = p_wall_s, cpu_us = p_cpu_us, memory_bytes = p_memory_bytes,
                bytes_in = p_bytes_in, bytes_out = p_bytes_out
            WHERE event = p_event AND fence = p_fence AND "end" = v_attempt."end";
            CONTINUE ladder WHEN NOT FOUND;  -- handed in twice at once: the other one counted it
            o_duplicates := 1; o_failed := CASE WHEN v_attempt."end" = 3 THEN -1 ELSE 0 END;
            o_usage := pg_temp.muster_less(v_taken, v_before);
        END IF;
        RETURN;
    END LOOP;

    -- Done, by this attempt, now. (One that had expired had been counted as failed.)
    IF o_verdict = 2 THEN
        o_failed := CASE WHEN v_attempt."end" = 3 THEN -1 ELSE 0 END;
        UPDATE attempt SET "end" = 4, at = p_now, wall_s = p_wall_s, cpu_us = p_cpu_us, memory_bytes = p_memory_bytes,
            bytes_in = p_bytes_in, bytes_out = p_bytes_out
        WHERE event = p_event AND fence = p_fence;
    END IF;
    INSERT INTO finished (event, queue, holder, fence, attempts, late, since, at, wall_s, results, first_result, kind, result,
        cpu_us, memory_bytes, bytes_in, bytes_out)
    VALUES (p_event, v_lease.queue, v_lease.holder, p_fence, greatest(1, v_lease.attempts), o_verdict = 2, v_lease.since,
            p_now, p_wall_s, p_results, p_first_result, p_kind, p_result, p_cpu_us, p_memory_bytes, p_bytes_in, p_bytes_out);
    o_done := 1;
    o_usage := pg_temp.muster_less(v_taken, v_before);
    o_usage[2] := o_usage[2] - v_wall_us;  -- it was not lost
END
$function$;

-- What is to be added where another attempt's usage was counted before: all of it but the memory, which is no sum.
CREATE FUNCTION pg_temp.muster_less(p_usage bigint[], p_before bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $function$
    SELECT ARRAY[p_usage[1] - p_before[1], p_usage[2] - p_before[2], p_usage[3] - p_before[3], p_usage[4] - p_before[4],
        p_usage[5] - p_before[5], p_usage[6] - p_before[6], p_usage[7]]
$function$;

-- Was a lease given to this session, or to another of the same taskforce (or of the same person's queue)?
CREATE FUNCTION pg_temp.muster_is_kin(p_session bigint, p_holder bigint) RETURNS boolean LANGUAGE sql VOLATILE AS $function$
    SELECT EXISTS (
        SELECT 1 FROM holder a JOIN holder b ON b.number = p_session
        WHERE a.number = p_holder AND (a.number = b.number OR a.taskforce_uuid = b.taskforce_uuid
            OR (a.taskforce_uuid IS NULL AND b.taskforce_uuid IS NULL
                AND a.consumer_queue = b.consumer_queue AND a.owner = b.owner)))
$function$;

-- Carry out the steps of several sessions; no session twice.
--   p_*: one entry a call. p_more: lease_more. p_group: which list of queues it leases from; calls with the same list share it.
--   f_*: one entry an attempt; f_of: its call. f_plain: done, and not named before by the same call.
--   r_*: one entry a new event, made by the attempt r_of.
--   q_*: the queues of the lists, in order; q_from: where to begin to look.
-- Rows, by o_what:
--   1: a call. o_event: the newest call of its session before this one; null when the session is over.
--   2: an attempt that was not simply done. o_attempts: verdict; o_fence: 1 when its results were published;
--      o_queue: the queue that the event went back to, or null; o_limit: 1 when it is delayed.
--   3: a lease of the call o_of.
CREATE FUNCTION pg_temp.muster_step(
    p_holder bigint[], p_call bigint[], p_lease_s float8[], p_more boolean[], p_want integer[], p_group integer[],
    f_of integer[], f_event bigint[], f_fence integer[], f_outcome smallint[], f_plain boolean[], f_wall_s float8[],
    f_fingerprint text[], f_error text[], f_results smallint[], f_first_result bigint[], f_kind smallint[],
    f_result bytea[], f_cpu_us bigint[], f_memory_bytes bigint[], f_bytes_in bigint[], f_bytes_out bigint[],
    r_of integer[], r_event bigint[], r_queue integer[], r_kind smallint[], r_body bytea[],
    q_group integer[], q_number integer[], q_from bigint[]
) RETURNS TABLE (
    o_what integer, o_of integer, o_event bigint, o_fence integer, o_attempts integer, o_limit integer, o_queue integer,
    o_kind smallint, o_key text, o_body bytea, o_deaths integer
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan
SET enable_nestloop = off SET enable_seqscan = off SET enable_bitmapscan = off AS $function$
DECLARE
    v_now CONSTANT float8 := extract(epoch FROM clock_timestamp());
    v_newest bigint[];  -- by call: null when the session is over
    v_repeats integer[];
    v_leases boolean[];  -- by call: may it lease?
    v_done integer[] := '{}';  -- attempts that were simply done
    v_late integer[] := '{}';  -- attempts whose results are yet to be published
    v_back integer[] := '{}';  -- queues that events went back to
    v_attempt record;
    v_judged record;
    v_counted record;
    v_part record;
    v_slots integer[];  -- by event wanted: for which call
    v_got integer;
    v_start bigint;
    v_picked record;
    l_of integer[] := '{}';  -- the leases made
    l_event bigint[] := '{}';
    l_fence integer[] := '{}';
    l_attempts integer[] := '{}';
    l_queue integer[] := '{}';
    d_queue integer[] := '{}';  -- what to count
    d_published integer[] := '{}';
    d_waiting integer[] := '{}';
    d_in_work integer[] := '{}';
    d_done integer[] := '{}';
    d_dead integer[] := '{}';
    d_failed integer[] := '{}';
    d_duplicates integer[] := '{}';
    u_wall_us bigint[] := '{}';  -- the usage to count, shorter where there is none: attempts are counted first
    u_lost_us bigint[] := '{}';
    u_measured_us bigint[] := '{}';
    u_cpu_us bigint[] := '{}';
    u_bytes_in bigint[] := '{}';
    u_bytes_out bigint[] := '{}';
    u_memory_bytes bigint[] := '{}';
BEGIN
    -- The sessions.
    WITH locked AS MATERIALIZED (
        SELECT number, call, ended FROM holder WHERE number = ANY (p_holder) ORDER BY number FOR UPDATE
    )
    SELECT array_agg(CASE WHEN l.ended IS NULL THEN l.call END ORDER BY a.i) INTO v_newest
    FROM unnest(p_holder) WITH ORDINALITY AS a (number, i) LEFT JOIN locked l ON l.number = a.number;
    UPDATE holder h SET until = greatest(h.until, v_now + a.lease_s), call = greatest(h.call, a.call)
    FROM unnest(p_holder, p_call, p_lease_s, v_newest) AS a (number, call, lease_s, newest)
    WHERE h.number = a.number AND h.number = ANY (p_holder) AND a.newest IS NOT NULL;
    RETURN QUERY
    SELECT 1, a.i::integer, a.newest, 0, 0, 0, 0, 0::smallint, NULL::text, NULL::bytea, 0
    FROM unnest(v_newest) WITH ORDINALITY AS a (newest, i);

    -- Attempts that are done under the lease in force: all at once.
    IF true = ANY (f_plain) THEN
        WITH f AS MATERIALIZED (
            SELECT * FROM unnest(f_of, f_event, f_fence, f_plain, f_wall_s, f_results, f_first_result, f_kind, f_result,
                    f_cpu_us, f_memory_bytes, f_bytes_in, f_bytes_out)
                WITH ORDINALITY AS f (of, event, fence, plain, wall_s, results, first_result, kind, result, cpu_us, memory_bytes,
                    bytes_in, bytes_out, i)
            WHERE f.plain AND v_newest[f.of] IS NOT NULL
        ), taken AS (
            DELETE FROM leased l USING f
            WHERE l.event = f.event AND l.fence = f.fence AND l.holder = p_holder[f.of] AND l.event = ANY (f_event)
            RETURNING f.i::integer AS i, l.event, l.queue, l.holder, l.fence, l.attempts, l.since,
                f.wall_s, f.results, f.first_result, f.kind, f.result, f.cpu_us, f.memory_bytes, f.bytes_in, f.bytes_out
        ), done AS (
            INSERT INTO finished
                (event, queue, holder, fence, attempts, late, since, at, wall_s, results, first_result, kind, result,
                cpu_us, memory_bytes, bytes_in, bytes_out)
            SELECT t.event, t.queue, t.holder, t.fence, t.attempts, false, t.since, v_now, t.wall_s, t.results,
                t.first_result, t.kind, t.result, t.cpu_us, t.memory_bytes, t.bytes_in, t.bytes_out
            FROM taken t
        ), keyed AS MATERIALIZED (  -- looked up once for all: a result carries the key of its source
            SELECT e.id, e.key FROM event e WHERE e.id = ANY (f_event)
        ), made AS MATERIALIZED (
            SELECT r.event, r.queue, t.event AS parent, r.kind, k.key, r.body
            FROM unnest(r_of, r_event, r_queue, r_kind, r_body) AS r (of, event, queue, kind, body)
            JOIN taken t ON t.i = r.of
            LEFT JOIN keyed k ON k.id = t.event
        ), kept AS (
            INSERT INTO event (id, queue, parent, kind, key, body)
            SELECT m.event, m.queue, m.parent, m.kind, m.key, m.body FROM made m
        ), placed AS (
            INSERT INTO ready (queue, event, attempts, fence) SELECT m.queue, m.event, 0, 0 FROM made m
        ), counted AS (
            SELECT m.queue, count(*)::integer AS made, 0 AS done, 0::bigint AS wall_us, 0::bigint AS measured_us,
                0::bigint AS cpu_us, 0::bigint AS bytes_in, 0::bigint AS bytes_out, 0::bigint AS memory_bytes
            FROM made m GROUP BY m.queue
            UNION ALL SELECT t.queue, 0, count(*)::integer, sum(round(t.wall_s * 1e6)::bigint)::bigint,
                coalesce(sum(round(t.wall_s * 1e6)::bigint) FILTER (WHERE t.cpu_us IS NOT NULL), 0)::bigint,
                coalesce(sum(t.cpu_us), 0)::bigint, coalesce(sum(t.bytes_in), 0)::bigint, sum(t.bytes_out)::bigint,
                coalesce(max(t.memory_bytes), 0)
            FROM taken t GROUP BY t.queue
        )
        SELECT (SELECT array_agg(t.i) FROM taken t) AS i, array_agg(c.queue) AS queue, array_agg(c.made) AS made,
            array_agg(-c.done) AS undone, array_agg(c.done) AS done, array_agg(0) AS zero,
            array_agg(c.wall_us) AS wall_us, array_agg(0::bigint) AS none, array_agg(c.measured_us) AS measured_us,
            array_agg(c.cpu_us) AS cpu_us, array_agg(c.bytes_in) AS bytes_in, array_agg(c.bytes_out) AS bytes_out,
            array_agg(c.memory_bytes) AS memory_bytes
        INTO v_counted FROM counted c;
        IF v_counted.i IS NOT NULL THEN
            v_done := v_counted.i;
            d_queue := v_counted.queue; d_published := v_counted.made; d_waiting := v_counted.made;
            d_in_work := v_counted.undone; d_done := v_counted.done; d_dead := v_counted.zero;
            d_failed := v_counted.zero; d_duplicates := v_counted.zero;
            u_wall_us := v_counted.wall_us; u_lost_us := v_counted.none; u_measured_us := v_counted.measured_us;
            u_cpu_us := v_counted.cpu_us; u_bytes_in := v_counted.bytes_in; u_bytes_out := v_counted.bytes_out;
            u_memory_bytes := v_counted.memory_bytes;
        END IF;
    END IF;

    -- All other attempts, one by one, in their order.
    IF cardinality(v_done) < cardinality(f_of) THEN
        FOR v_attempt IN
            SELECT f.* FROM unnest(f_of, f_event, f_fence, f_outcome, f_wall_s, f_fingerprint, f_error, f_results,
                    f_first_result, f_kind, f_result, f_cpu_us, f_memory_bytes, f_bytes_in, f_bytes_out)
                WITH ORDINALITY AS f (of, event, fence, outcome, wall_s, fingerprint, error, results, first_result, kind,
                    result, cpu_us, memory_bytes, bytes_in, bytes_out, i)
            WHERE v_newest[f.of] IS NOT NULL AND NOT f.i = ANY (v_done) ORDER BY f.i
        LOOP
            SELECT * INTO v_judged FROM pg_temp.muster_judge(
                v_now, p_holder[v_attempt.of], v_attempt.event, v_attempt.fence, v_attempt.outcome, v_attempt.wall_s,
                v_attempt.fingerprint, v_attempt.error, v_attempt.results, v_attempt.first_result, v_attempt.kind,
                v_attempt.result, v_attempt.cpu_us, v_attempt.memory_bytes, v_attempt.bytes_in, v_attempt.bytes_out);
            o_what := 2; o_of := v_attempt.i; o_event := v_attempt.event; o_fence := v_judged.o_done;
            o_attempts := v_judged.o_verdict; o_limit := v_judged.o_delayed::integer; o_kind := 0;
            o_queue := CASE WHEN v_judged.o_waiting = 1 AND NOT v_judged.o_delayed THEN v_judged.o_queue END;
            RETURN NEXT;
            IF v_judged.o_done = 1 THEN
                v_late := v_late || v_attempt.i::integer;
            END IF;
            IF o_queue IS NOT NULL THEN
                v_back := v_back || o_queue;
            END IF;
            IF v_judged.o_queue IS NOT NULL THEN
                d_queue := d_queue || v_judged.o_queue; d_published := d_published || 0;
                d_waiting := d_waiting || v_judged.o_waiting; d_in_work := d_in_work || v_judged.o_in_work;
                d_done := d_done || v_judged.o_done; d_dead := d_dead || v_judged.o_dead;
                d_failed := d_failed || v_judged.o_failed; d_duplicates := d_duplicates || v_judged.o_duplicates;
                u_wall_us := u_wall_us || v_judged.o_usage[1]; u_lost_us := u_lost_us || v_judged.o_usage[2];
                u_measured_us := u_measured_us || v_judged.o_usage[3]; u_cpu_us := u_cpu_us || v_judged.o_usage[4];
                u_bytes_in := u_bytes_in || v_judged.o_usage[5]; u_bytes_out := u_bytes_out || v_judged.o_usage[6];
                u_memory_bytes := u_memory_bytes || v_judged.o_usage[7];
            END IF;
        END LOOP;
        IF cardinality(v_late) > 0 THEN
            WITH keyed AS MATERIALIZED (
                SELECT e.id, e.key FROM event e WHERE e.id = ANY (f_event)
            ), made AS MATERIALIZED (
                SELECT r.event, r.queue, f_event[r.of] AS parent, r.kind, k.key, r.body
                FROM unnest(r_of, r_event, r_queue, r_kind, r_body) AS r (of, event, queue, kind, body)
                LEFT JOIN keyed k ON k.id = f_event[r.of]
                WHERE r.of = ANY (v_late)
            ), kept AS (
                INSERT INTO event (id, queue, parent, kind, key, body)
                SELECT m.event, m.queue, m.parent, m.kind, m.key, m.body FROM made m
            ), placed AS (
                INSERT INTO ready (queue, event, attempts, fence) SELECT m.queue, m.event, 0, 0 FROM made m
            ), counted AS (
                SELECT m.queue, count(*)::integer AS made FROM made m GROUP BY m.queue
            )
            SELECT coalesce(array_agg(c.queue), '{}') AS queue, coalesce(array_agg(c.made), '{}') AS made,
                coalesce(array_agg(0), '{}') AS zero
            INTO v_counted FROM counted c;
            d_queue := d_queue || v_counted.queue; d_published := d_published || v_counted.made;
            d_waiting := d_waiting || v_counted.made; d_in_work := d_in_work || v_counted.zero;
            d_done := d_done || v_counted.zero; d_dead := d_dead || v_counted.zero;
            d_failed := d_failed || v_counted.zero; d_duplicates := d_duplicates || v_counted.zero;
        END IF;
    END IF;

    -- Repeats of calls, and calls that were parked, are given again what they leased.
    SELECT array_agg(a.call > a.newest ORDER BY a.i), array_agg(a.i::integer) FILTER (WHERE a.more OR a.call <= a.newest)
    INTO v_leases, v_repeats
    FROM unnest(p_call, v_newest, p_more) WITH ORDINALITY AS a (call, newest, more, i);
    IF v_repeats IS NOT NULL THEN
        FOR v_picked IN
            SELECT a.i, l.event, l.fence, l.attempts, l.queue
            FROM unnest(v_repeats) AS a (i) JOIN leased l ON l.holder = p_holder[a.i] AND l.call = p_call[a.i]
            WHERE v_newest[a.i] IS NOT NULL AND l.holder = ANY (p_holder)
        LOOP
            l_of := l_of || v_picked.i; l_event := l_event || v_picked.event; l_fence := l_fence || v_picked.fence;
            l_attempts := l_attempts || v_picked.attempts::integer; l_queue := l_queue || v_picked.queue;
        END LOOP;
        SELECT array_agg(
            CASE WHEN a.more THEN a.call = a.newest AND NOT a.i::integer = ANY (l_of) ELSE a.call > a.newest END ORDER BY a.i)
        INTO v_leases FROM unnest(p_call, v_newest, p_more) WITH ORDINALITY AS a (call, newest, more, i);
    END IF;

    -- Leases: for all calls of a list together, in order of the queue.
    FOR v_part IN
        SELECT q.grp, q.number, q.start, lag(q.grp) OVER (ORDER BY q.i) IS DISTINCT FROM q.grp AS is_first
        FROM unnest(q_group, q_number, q_from) WITH ORDINALITY AS q (grp, number, start, i) ORDER BY q.i
    LOOP
        IF v_part.is_first THEN
            v_got := 0;
            SELECT coalesce(array_agg(a.i::integer ORDER BY a.i), '{}') INTO v_slots
            FROM unnest(p_group, p_want, v_leases) WITH ORDINALITY AS a (grp, want, leases, i), generate_series(1, a.want)
            WHERE a.grp = v_part.grp AND a.leases;
        END IF;
        v_start := CASE WHEN v_part.number = ANY (v_back) THEN 0 ELSE v_part.start END;
        WHILE v_got < cardinality(v_slots) LOOP
            WITH picked AS (
                DELETE FROM ready WHERE queue = v_part.number AND event = ANY (ARRAY(
                    SELECT r.event FROM ready r WHERE r.queue = v_part.number AND r.event >= v_start
                    ORDER BY r.event LIMIT cardinality(v_slots) - v_got FOR UPDATE SKIP LOCKED))
                RETURNING event, attempts, fence
            ), placed AS MATERIALIZED (
                SELECT p.event, p.fence + 1 AS fence, p.attempts + 1 AS attempts,
                    v_slots[v_got + row_number() OVER (ORDER BY p.event)] AS of
                FROM picked p
            ), held AS (
                INSERT INTO leased (event, queue, holder, call, attempts, fence, since)
                SELECT p.event, v_part.number, p_holder[p.of], p_call[p.of], p.attempts, p.fence, v_now FROM placed p
            )
            SELECT count(*)::integer AS count, array_agg(p.of) AS of, array_agg(p.event) AS event,
                array_agg(p.fence) AS fence, array_agg(p.attempts) AS attempts, array_agg(v_part.number) AS queue
            INTO v_picked FROM placed p;
            IF v_picked.count > 0 THEN
                v_got := v_got + v_picked.count;
                l_of := l_of || v_picked.of; l_event := l_event || v_picked.event; l_fence := l_fence || v_picked.fence;
                l_attempts := l_attempts || v_picked.attempts; l_queue := l_queue || v_picked.queue;
                d_queue := d_queue || v_part.number; d_published := d_published || 0;
                d_waiting := d_waiting || -v_picked.count; d_in_work := d_in_work || v_picked.count;
                d_done := d_done || 0; d_dead := d_dead || 0; d_failed := d_failed || 0; d_duplicates := d_duplicates || 0;
            END IF;
            EXIT WHEN v_start = 0;
            v_start := 0;  -- too few from the hint on: what came late or went back lies below it
        END LOOP;
    END LOOP;

    IF cardinality(d_queue) > 0 THEN
        INSERT INTO delta (queue, published, waiting, in_work, done, dead, failed, duplicates,
            wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes)
        SELECT d.queue, sum(d.published), sum(d.waiting), sum(d.in_work), sum(d.done), sum(d.dead), sum(d.failed),
            sum(d.duplicates), coalesce(sum(d.wall_us), 0), coalesce(sum(d.lost_us), 0), coalesce(sum(d.measured_us), 0),
            coalesce(sum(d.cpu_us), 0), coalesce(sum(d.bytes_in), 0), coalesce(sum(d.bytes_out), 0),
            coalesce(max(d.memory_bytes), 0)
        FROM unnest(d_queue, d_published, d_waiting, d_in_work, d_done, d_dead, d_failed, d_duplicates,
                u_wall_us, u_lost_us, u_measured_us, u_cpu_us, u_bytes_in, u_bytes_out, u_memory_bytes)
            AS d (queue, published, waiting, in_work, done, dead, failed, duplicates,
                wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes)
        GROUP BY d.queue
        HAVING (sum(d.published), sum(d.waiting), sum(d.in_work), sum(d.done), sum(d.dead), sum(d.failed),
            sum(d.duplicates)) <> (0, 0, 0, 0, 0, 0, 0) OR sum(d.wall_us) <> 0 OR sum(d.cpu_us) <> 0
            OR sum(d.bytes_in) <> 0 OR sum(d.bytes_out) <> 0 OR max(d.memory_bytes) <> 0;
    END IF;
    IF cardinality(l_event) > 0 THEN
        RETURN QUERY
        SELECT 3, l.of, l.event, l.fence, l.attempts, q.attempts, l.queue, e.kind, e.key, e.body,
            CASE WHEN l.fence > 1 THEN (
                SELECT count(*)::integer FROM attempt a WHERE a.event = l.event AND a."end" IN (3, 6)) ELSE 0 END
        FROM unnest(l_of, l_event, l_fence, l_attempts, l_queue) AS l (of, event, fence, attempts, queue)
        JOIN event e ON e.id = l.event AND e.id = ANY (l_event)
        JOIN queue q ON q.number = l.queue AND q.number = ANY (l_queue);
    END IF;
END
$function$;

-- Prolong sessions; none twice. h_*: what they believe to hold; h_of: whose it is.
-- Rows: (i, null, null) for a session that is over, (i, event, fence) for an event that is not held.
CREATE FUNCTION pg_temp.muster_renew(
    p_holder bigint[], p_lease_s float8[], h_of integer[], h_event bigint[], h_fence integer[]
) RETURNS TABLE (o_of integer, o_event bigint, o_fence integer)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_custom_plan AS $function$
DECLARE
    v_now CONSTANT float8 := extract(epoch FROM clock_timestamp());
    v_live bigint[];
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT number FROM holder WHERE number = ANY (p_holder) AND ended IS NULL ORDER BY number FOR UPDATE
    )
    SELECT coalesce(array_agg(number), '{}') INTO v_live FROM locked;
    UPDATE holder h SET until = greatest(h.until, v_now + a.lease_s)
    FROM unnest(p_holder, p_lease_s) AS a (number, lease_s)
    WHERE h.number = a.number AND h.number = ANY (v_live);
    RETURN QUERY
    SELECT a.i::integer, NULL::bigint, NULL::integer FROM unnest(p_holder) WITH ORDINALITY AS a (number, i)
    WHERE NOT a.number = ANY (v_live);
    RETURN QUERY
    SELECT h.of, h.event, h.fence FROM unnest(h_of, h_event, h_fence) AS h (of, event, fence)
    WHERE NOT EXISTS (
        SELECT 1 FROM leased l WHERE l.event = h.event AND l.fence = h.fence AND l.holder = p_holder[h.of]);
END
$function$;

-- End sessions whose time is over. What they were working on counts as an attempt, and dies at the limit; the rest is abandoned.
CREATE FUNCTION pg_temp.muster_reap(
    p_limit integer, p_reason text, OUT o_holders integer, OUT o_requeued integer, OUT o_dead integer, OUT o_queues integer[],
    OUT o_delayed boolean
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_custom_plan AS $function$
DECLARE
    v_now CONSTANT float8 := extract(epoch FROM clock_timestamp());
    v_over bigint[];
BEGIN
    SELECT coalesce(array_agg(number), '{}') INTO v_over FROM (
        SELECT h.number FROM holder_live v JOIN holder h ON h.number = v.number
        WHERE h.until < v_now AND h.ended IS NULL
        ORDER BY h.number LIMIT p_limit FOR UPDATE OF h SKIP LOCKED) AS over;
    o_holders := cardinality(v_over); o_requeued := 0; o_dead := 0; o_queues := '{}'; o_delayed := false;
    IF o_holders = 0 THEN
        RETURN;
    END IF;
    UPDATE holder SET ended = p_reason WHERE number = ANY (v_over);
    DELETE FROM holder_live WHERE number = ANY (v_over);
    WITH taken AS (
        DELETE FROM leased WHERE holder = ANY (v_over) RETURNING event, fence, queue, holder, call, attempts, since
    ), placed AS (
        SELECT t.*, row_number() OVER (PARTITION BY t.holder ORDER BY t.call, t.event) AS place FROM taken t
    ), judged AS (
        SELECT p.event, p.fence, p.queue, p.holder, p.since, c.is_counted, p.attempts - (NOT c.is_counted)::integer AS attempts,
            c.is_counted AND p.attempts >= q.attempts AS is_dead,
            c.is_counted AND p.attempts < q.attempts AND q.retry_s > 0 AS is_delayed, q.retry_s
        FROM placed p JOIN queue q ON q.number = p.queue JOIN holder h ON h.number = p.holder
        CROSS JOIN LATERAL (SELECT p.place <= h.at_once AS is_counted) c
    ), tried AS (
        INSERT INTO attempt (event, fence, queue, holder, "end", since, at, wall_s)
        SELECT j.event, j.fence, j.queue, j.holder, CASE WHEN j.is_counted THEN 3 ELSE 6 END, j.since, v_now, 0 FROM judged j
    ), back AS (
        INSERT INTO ready (queue, event, attempts, fence)
        SELECT j.queue, j.event, j.attempts, j.fence FROM judged j WHERE NOT (j.is_dead OR j.is_delayed)
    ), later AS (
        INSERT INTO delayed (queue, event, attempts, fence, due)
        SELECT j.queue, j.event, j.attempts, j.fence, v_now + pg_temp.muster_pause(j.attempts, j.retry_s)
        FROM judged j WHERE j.is_delayed
    ), buried AS (
        INSERT INTO dead (queue, event, attempts, fence, at)
        SELECT j.queue, j.event, j.attempts, j.fence, v_now FROM judged j WHERE j.is_dead
    ), counted AS (
        INSERT INTO delta (queue, published, waiting, in_work, done, dead, failed, duplicates)
        SELECT j.queue, 0, count(*) FILTER (WHERE NOT j.is_dead), -count(*), 0, count(*) FILTER (WHERE j.is_dead),
            count(*) FILTER (WHERE j.is_counted), 0
        FROM judged j GROUP BY j.queue
    )
    SELECT count(*) FILTER (WHERE NOT j.is_dead), count(*) FILTER (WHERE j.is_dead),
        coalesce(array_agg(DISTINCT j.queue) FILTER (WHERE NOT (j.is_dead OR j.is_delayed)), '{}'),
        coalesce(bool_or(j.is_delayed), false)
    INTO o_requeued, o_dead, o_queues, o_delayed FROM judged j;
END
$function$;

-- Send events whose pause is over to their queues. o_next_s: seconds until another one is due; null where none waits.
CREATE FUNCTION pg_temp.muster_requeue_due(p_limit integer, OUT o_events integer, OUT o_queues integer[], OUT o_next_s float8)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_custom_plan AS $function$
DECLARE
    v_now CONSTANT float8 := extract(epoch FROM clock_timestamp());
BEGIN
    WITH chosen AS MATERIALIZED (
        SELECT d.queue, d.event FROM delayed d WHERE d.due <= v_now ORDER BY d.due LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), moved AS (
        DELETE FROM delayed d USING chosen c WHERE d.queue = c.queue AND d.event = c.event
        RETURNING d.queue, d.event, d.attempts, d.fence
    ), back AS (
        INSERT INTO ready (queue, event, attempts, fence) SELECT m.queue, m.event, m.attempts, m.fence FROM moved m
    )
    SELECT count(*), coalesce(array_agg(DISTINCT m.queue), '{}') INTO o_events, o_queues FROM moved m;
    -- greatest() passes over a null, and nothing waits where there is one.
    SELECT greatest(0, first.due - v_now) INTO o_next_s FROM (SELECT min(d.due) AS due FROM delayed d) AS first
    WHERE first.due IS NOT NULL;
END
$function$;

-- Add what was counted to the counters. Takes only what is committed, so it is exact without any cursor.
-- Sums of usage stop at 4 * 10^18: nobody's nonsense may keep the others' counters from being folded.
CREATE FUNCTION pg_temp.muster_fold() RETURNS integer LANGUAGE sql VOLATILE AS $function$
    WITH gone AS (
        DELETE FROM delta RETURNING queue, published, waiting, in_work, done, dead, failed, duplicates,
            wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes
    ), added AS (
        INSERT INTO counter AS c (queue, published, waiting, in_work, done, dead, failed, duplicates,
            wall_us, lost_us, measured_us, cpu_us, bytes_in, bytes_out, memory_bytes)
        SELECT g.queue, sum(g.published), sum(g.waiting), sum(g.in_work), sum(g.done), sum(g.dead), sum(g.failed),
            sum(g.duplicates), least(sum(g.wall_us), 4e18), least(sum(g.lost_us), 4e18), least(sum(g.measured_us), 4e18),
            least(sum(g.cpu_us), 4e18), least(sum(g.bytes_in), 4e18), least(sum(g.bytes_out), 4e18), max(g.memory_bytes)
        FROM gone g GROUP BY g.queue ORDER BY g.queue
        ON CONFLICT (queue) DO UPDATE SET published = c.published + excluded.published,
            waiting = c.waiting + excluded.waiting, in_work = c.in_work + excluded.in_work,
            done = c.done + excluded.done, dead = c.dead + excluded.dead, failed = c.failed + excluded.failed,
            duplicates = c.duplicates + excluded.duplicates,
            wall_us = least(c.wall_us + excluded.wall_us, 4e18), lost_us = least(c.lost_us + excluded.lost_us, 4e18),
            measured_us = least(c.measured_us + excluded.measured_us, 4e18),
            cpu_us = least(c.cpu_us + excluded.cpu_us, 4e18), bytes_in = least(c.bytes_in + excluded.bytes_in, 4e18),
            bytes_out = least(c.bytes_out + excluded.bytes_out, 4e18),
            memory_bytes = greatest(c.memory_bytes, excluded.memory_bytes)
    )
    SELECT count(*)::integer FROM gone
$function$;

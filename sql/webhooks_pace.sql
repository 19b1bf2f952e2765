/*
 * webhooks_pace.sql: how much an endpoint bears, as its answers tell: how many requests at once, and how many a second.
 *
 * At once. An endpoint that states no concurrency has 64 requests under way, for fairness: one that hangs must not take
 * all of an edge's places. A place is held from claim to report, so one that answers at once can have more of them. Each
 * report grades what it says of an endpoint (_endpoint_grade):
 *
 *	fast	all within 250 ms, none failed		the number doubles, up to 256
 *	plain	all within a second, none failed	it doubles, up to 64
 *	slow	one took longer, failed, or was answered 429	back to 64 from above, for 30 seconds at least
 *	failed	at least half of them failed		back to 64 from above; from there on halved, down to 8
 *
 * It doubles only when it is used up. Beyond their 64, all endpoints together have at most 384 at once; so when those that
 * were fast begin to hang, the others of an edge miss no more than that, and no longer than until the time-out, which
 * opens the breaker. The rule is the engine's, in memory (extension/jobs/lend.h): nothing is written when it changes, and
 * what a restart forgets, a few reports teach again. A concurrency that was stated stays what it is.
 *
 * A second. 429 with Retry-After says when to come back. 429 without it says that we are too fast and not by how much,
 * so that is found (_endpoint_pace_after), and kept with the endpoint's health:
 *
 *	none		--429-->	doubling	the pace is what was taken in that report, each second; at least one
 *	doubling	second passed	doubling	twice as much
 *	doubling	--429-->	adding		half of it
 *	adding		second passed	adding		a fortieth more of what it was after the last 429
 *	adding		--429-->	adding		four fifths of it, so that it is back in ten seconds
 *	any		5 min without 429	none		forgotten; endpoint_enable does that at once
 *
 * Each 429 pauses the endpoint, too: one second, then twice as long for as long as nothing is taken, a minute at most.
 * The pace falls once for all of them. What was sent before a pause tells nothing that was not known; it is known by
 * when it was sent: report minus duration, so that clocks of edges do not matter. The pace takes the place of a stated
 * rate where it keeps that one, too; it grows in reports of successes, so it costs nothing where nothing is sent.
 *
 * Who changes what: edge_report alone, for all edges; _endpoint_react has the row of _endpoint_health locked. Rolled
 * back, the pace is what it was, and the grades stay, which did happen.
 */

CREATE FUNCTION hotdash._endpoint_grade(answers int, failed int, slowest_us int, refused bool) RETURNS int
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Part of the query that calls it, which a SET clause would prevent: a report may be about hundreds of endpoints.
	AS $$
		SELECT CASE
			WHEN failed OPERATOR(pg_catalog.>) 0 AND failed OPERATOR(pg_catalog.*) 2 OPERATOR(pg_catalog.>=) answers THEN -2
			WHEN failed OPERATOR(pg_catalog.>) 0 OR refused OR slowest_us OPERATOR(pg_catalog.>) 1000000 THEN -1
			WHEN slowest_us OPERATOR(pg_catalog.<=) 250000 THEN 1
			ELSE 0 END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_grade(int, int, int, bool) IS
	'What a report says of how an endpoint does, as _job_flow_grade takes it';
REVOKE ALL ON FUNCTION hotdash._endpoint_grade(int, int, int, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_pace_after(h hotdash._endpoint_health, news hotdash._endpoint_news, at timestamptz)
	RETURNS hotdash._endpoint_health
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		least_pace constant float8 := 1.0 / 60;
		most_pace constant float8 := 50000;
		us constant interval := '1 microsecond';
		since constant timestamptz := coalesce(h.paused_until, '-infinity');
		seconds int;
	BEGIN
		IF h.pace IS NOT NULL AND at - news.taken_us * us >= since THEN
			h.refusals := 0;
			seconds := floor(extract(epoch FROM at - h.pace_at));
			IF h.refused_at < at - interval '5 minutes' THEN
				h.pace := NULL;
				h.pace_step := NULL;
				h.pace_at := NULL;
				h.refused_at := NULL;
			ELSIF seconds > 0 THEN
				h.pace := least(h.pace + coalesce(h.pace_step * seconds, h.pace), most_pace);
				h.pace_at := at;
			END IF;
		END IF;
		IF at - news.refused_us * us >= since THEN
			IF h.pace IS NULL THEN
				h.pace := greatest(news.taken, 1);
			ELSIF h.refusals = 0 THEN
				h.pace := h.pace * CASE WHEN h.pace_step IS NULL THEN 0.5 ELSE 0.8 END;
				h.pace_step := h.pace / 40;
			END IF;
			h.pace := greatest(h.pace, least_pace);
			h.pace_at := at;
			h.refused_at := at;
			h.refusals := h.refusals + 1;
			h.paused_until := greatest(h.paused_until, at + least(2 ^ least(h.refusals - 1, 10), 60) * interval '1 second');
		END IF;
		RETURN h;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_pace_after(hotdash._endpoint_health, hotdash._endpoint_news, timestamptz) IS
	'The pace at which an endpoint is sent to, and its pause, after a report with or without 429';
REVOKE ALL ON FUNCTION hotdash._endpoint_pace_after(hotdash._endpoint_health, hotdash._endpoint_news, timestamptz)
	FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_pace_rate(pace float8, own_rate int, own_period interval,
		OUT rate int, OUT period_us bigint, OUT paced bool) RETURNS record
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A pace is spread, a fiftieth of a second's worth at a time: a receiver may count shorter than seconds. It takes the
	 * place of a rate where the windows of the pace that cover one of the rate, by the times of sending, keep that; where
	 * they do not, the rate is the slower one.
	 */
	DECLARE
		own_us constant bigint := extract(epoch FROM own_period + hotdash._endpoint_slack(own_period)) * 1000000;
	BEGIN
		rate := greatest(round(pace / 50), 1);
		period_us := ceil(rate / pace * 1000000);
		paced := pace IS NOT NULL AND coalesce(rate * ceil(own_us::float8 / period_us) <= own_rate, true);
		IF NOT paced THEN
			rate := own_rate;
			period_us := own_us;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_pace_rate(float8, int, interval) IS
	'The rate of a flow whose endpoint has a pace, a rate, both, or neither; paced: it is the pace';
REVOKE ALL ON FUNCTION hotdash._endpoint_pace_rate(float8, int, interval) FROM PUBLIC;

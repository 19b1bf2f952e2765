/*
 * sla.sql: SLA clocks: policies, clocks, and the log that a clock's state follows from.
 *
 * States. A clock is one row for one cycle of a metric of a subject:
 *
 *		(none) -- start --> running -- pause --> paused -- resume --> running
 *		running or paused -- meet --> met -- reopen (continue) --> running or paused
 *		running or paused -- cancel --> canceled
 *
 * and breached or not beside that: open and now later than its due point, or met later than that. The state is a
 * function of the inputs in _sla_event in the order of (at, id), of the target in force and of the calendar; what is
 * kept in the row is that function's value, brought forward by an input that comes in order and computed anew for one
 * that does not (extension/sla/clock.h).
 *
 * Time. due_b and next_b are points in the business time of a calendar: open microseconds since its origin. A pause
 * is a subtraction and a resume an addition, and a calendar that changes in the future changes none of them. Which
 * calendar, and whether a due point at closing time means the close or the next opening, is the clock's lane.
 *
 * Locks: the row of the clock, before that of anything else; of a chain the last first. The scan skips what is locked.
 *
 * extension/sla/counts.c numbers the columns of _sla_clock: keep it in step.
 */

/*
 * Policies
 */

CREATE SEQUENCE hotdash._sla_policy_id AS int;
COMMENT ON SEQUENCE hotdash._sla_policy_id IS 'Numbers of policies and of their versions';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_policy_id', '');

CREATE TABLE hotdash._sla_policy (
	id int PRIMARY KEY,
	version_id int NOT NULL,
	calendar int,
	name text COLLATE "C" NOT NULL UNIQUE
);
COMMENT ON TABLE hotdash._sla_policy IS 'SLA policies and the version that new clocks get';
COMMENT ON COLUMN hotdash._sla_policy.calendar IS 'Of that version; NULL: the wall clock';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_policy', '');

CREATE TABLE hotdash._sla_policy_version (
	id int PRIMARY KEY,
	policy int NOT NULL,
	version int NOT NULL,
	calendar int,
	set_at timestamptz NOT NULL,
	set_by text NOT NULL,
	definition jsonb NOT NULL,
	UNIQUE (policy, version)
);
COMMENT ON TABLE hotdash._sla_policy_version IS 'What policies say and said; a clock keeps the version that it began with';
COMMENT ON COLUMN hotdash._sla_policy_version.calendar IS 'Whose business time counts; NULL: the wall clock';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_policy_version', '');

CREATE TABLE hotdash._sla_metric (
	version_id int NOT NULL,
	metric text COLLATE "C" NOT NULL,
	at_open bool NOT NULL,
	reopen text COLLATE "C" NOT NULL,
	restarts bool NOT NULL,
	starts text[] NOT NULL,
	pauses text[] NOT NULL,
	resumes text[] NOT NULL,
	meets text[] NOT NULL,
	reopens text[] NOT NULL,
	cancels text[] NOT NULL,
	PRIMARY KEY (version_id, metric)
);
COMMENT ON TABLE hotdash._sla_metric IS 'Metrics of the versions of policies: which event does what to a clock';
COMMENT ON COLUMN hotdash._sla_metric.at_open IS 'A due point at closing time means the next opening';
COMMENT ON COLUMN hotdash._sla_metric.reopen IS 'continue, restart or ignore';
COMMENT ON COLUMN hotdash._sla_metric.restarts IS 'A clock that is met begins its next cycle at once, as periodic updates do';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_metric', '');

CREATE TABLE hotdash._sla_step (
	version_id int NOT NULL,
	metric text COLLATE "C" NOT NULL,
	step smallint NOT NULL,
	kind text COLLATE "C" NOT NULL,
	name text NOT NULL,
	actions jsonb NOT NULL,
	PRIMARY KEY (version_id, metric, step)
);
COMMENT ON TABLE hotdash._sla_step IS 'Steps of metrics: 0 is the breach, 1 to 49 warnings, 50 to 99 escalations';
COMMENT ON COLUMN hotdash._sla_step.kind IS 'warning, breach or escalation';
COMMENT ON COLUMN hotdash._sla_step.actions IS 'What is done beside the row: an array of actions';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_step', '');

CREATE TABLE hotdash._sla_target (
	version_id int NOT NULL,
	metric text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	target bigint NOT NULL,
	steps smallint[] NOT NULL,
	offsets bigint[] NOT NULL,
	PRIMARY KEY (version_id, metric, priority)
);
COMMENT ON TABLE hotdash._sla_target IS 'Targets of metrics for each priority, and when their steps are due';
COMMENT ON COLUMN hotdash._sla_target.priority IS 'Empty: of all that have no row of their own';
COMMENT ON COLUMN hotdash._sla_target.target IS 'Microseconds of business time';
COMMENT ON COLUMN hotdash._sla_target.steps IS 'Numbers of the steps in the order in which they are due';
COMMENT ON COLUMN hotdash._sla_target.offsets IS
	'Microseconds of business time from the due point to each of the steps; rising, those of warnings negative';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_target', '');

/*
 * Clocks
 */

CREATE SEQUENCE hotdash._sla_clock_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._sla_clock_id IS 'Low 52 bits of the ids of clocks and of their events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_clock_id', '');

CREATE TABLE hotdash._sla_clock (
	id bigint PRIMARY KEY,
	started_at timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	closed_at timestamptz,
	due_at timestamptz,
	breached_at timestamptz,
	target bigint NOT NULL,
	due_b bigint,
	remaining bigint,
	next_b bigint,
	policy int NOT NULL,
	version_id int NOT NULL,
	lane int NOT NULL,
	calendar_version int,
	cycle int NOT NULL,
	next_step smallint NOT NULL,
	ahead bool NOT NULL,
	paused bool NOT NULL,
	began_paused bool NOT NULL,
	state text COLLATE "C" NOT NULL,
	metric text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	attributes jsonb,
	UNIQUE (tenant, subject, policy, metric, cycle)
) WITH (fillfactor = 80);
CREATE INDEX _sla_clock_due ON hotdash._sla_clock (lane, next_b) WHERE closed_at IS NULL;
CREATE INDEX _sla_clock_closed ON hotdash._sla_clock (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX _sla_clock_ahead ON hotdash._sla_clock (lane, last_at) WHERE ahead;
COMMENT ON TABLE hotdash._sla_clock IS 'SLA clocks, a row for each cycle of a metric of a subject';
COMMENT ON COLUMN hotdash._sla_clock.last_at IS 'Latest input: one that is earlier makes the state be computed anew';
COMMENT ON COLUMN hotdash._sla_clock.closed_at IS 'When it was met or canceled; NULL: it is open';
COMMENT ON COLUMN hotdash._sla_clock.due_at IS 'Due point of a clock that is closed or breached, as it was; NULL: it follows from due_b';
COMMENT ON COLUMN hotdash._sla_clock.breached_at IS 'The due point that has passed while it was open; NULL: none has';
COMMENT ON COLUMN hotdash._sla_clock.target IS 'Microseconds of business time';
COMMENT ON COLUMN hotdash._sla_clock.due_b IS 'Running: where in business time the target is reached';
COMMENT ON COLUMN hotdash._sla_clock.remaining IS 'Not running: microseconds of business time left, negative when it is late';
COMMENT ON COLUMN hotdash._sla_clock.next_b IS 'Running: where in business time the next step is due; NULL: none is left';
COMMENT ON COLUMN hotdash._sla_clock.lane IS 'Twice the epoch of the calendar (0: the wall clock), and 1 for a due point at the next opening';
COMMENT ON COLUMN hotdash._sla_clock.calendar_version IS 'Closed: the version of the calendar that counted';
COMMENT ON COLUMN hotdash._sla_clock.next_step IS 'How many of the steps of its target have been reached';
COMMENT ON COLUMN hotdash._sla_clock.paused IS 'Its subject is, or was when the clock was closed';
COMMENT ON COLUMN hotdash._sla_clock.began_paused IS 'Its subject was paused when it began';
COMMENT ON COLUMN hotdash._sla_clock.ahead IS 'It began at a time to come';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_clock', '');

CREATE TABLE hotdash._sla_event (
	clock bigint NOT NULL,
	id bigint NOT NULL,
	at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL,
	step smallint,
	kind text COLLATE "C" NOT NULL,
	detail jsonb,
	PRIMARY KEY (clock, id)
);
CREATE UNIQUE INDEX _sla_event_step ON hotdash._sla_event (clock, step) WHERE step IS NOT NULL;
COMMENT ON TABLE hotdash._sla_event IS 'What happened to clocks: the inputs, from which all else follows, and what was found';
COMMENT ON COLUMN hotdash._sla_event.at IS 'When it happened; of steps: when they were due';
COMMENT ON COLUMN hotdash._sla_event.kind IS
	'Inputs: start, pause, resume, meet, reopen, cancel. Found: warning, breach, escalation, withdrawn. Beside them: restart (the next cycle), retarget, event (one that means nothing to its clocks)';
COMMENT ON COLUMN hotdash._sla_event.step IS 'Number of a step, once for each clock';
COMMENT ON COLUMN hotdash._sla_event.detail IS 'The event of the domain that brought it about; of steps: what their actions came to';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_event', '');

REVOKE ALL ON hotdash._sla_policy, hotdash._sla_policy_version, hotdash._sla_metric, hotdash._sla_step, hotdash._sla_target,
	hotdash._sla_clock, hotdash._sla_event FROM PUBLIC;
REVOKE ALL ON SEQUENCE hotdash._sla_policy_id, hotdash._sla_clock_id FROM PUBLIC;
ALTER TABLE hotdash._sla_clock ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._sla_clock USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._sla_clock IS 'A session bound to a tenant sees that tenant alone';

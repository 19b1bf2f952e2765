# Messages and the history of deliveries are kept for a stated time each, in parts that are dropped as a whole: but for
# what an open delivery still needs, which moves on. Idempotency keys are remembered for exactly as long as stated. What
# has no body any more cannot be replayed, and says why. No reader is waited for, and publishing never waits.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('main');
my $start;

sub sql
{
	my ($query, $database) = @_;

	return $node->safe_psql($database // 'app', $query);
}

# A statement as if it were so long after the start.
sub at
{
	my ($delay, $query, $database) = @_;

	return "SELECT set_config('hotdash.now_override', ('$start'::timestamptz + interval '$delay')::text, false) \\g /dev/null\n$query";
}

sub sql_at
{
	my ($delay, $query, $database) = @_;

	return sql(at($delay, $query), $database);
}

# Twice: one closes a part, and only the next can know that its last writer has gone.
sub tick_at
{
	my ($delay, $database) = @_;

	sql_at($delay, 'CALL hotdash._tick(); CALL hotdash._tick()', $database) for 1 .. 2;
	return;
}

sub endpoint
{
	my ($event, $more) = @_;

	return sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/', events => '{$event}', max_age => '300 days'" . ($more // '') . ')');
}

sub publish
{
	my ($delay, $event, $more) = @_;

	return sql_at($delay, "SELECT hotdash.event_publish('$event', '{\"event\": \"$event\"}'" . ($more // '') . ')');
}

# Claim and report what there is; the number, and bodies.
sub deliver
{
	my ($delay, $status) = @_;

	return sql_at($delay, qq{SELECT coalesce(jsonb_agg(jsonb_build_object('id', id::text, 'token', token::text, 'class', 'http', 'status', $status)), '[]') AS results,
			count(*) || coalesce(': ' || string_agg(convert_from(body, 'UTF8'), ', ' ORDER BY id), '') AS bodies
		FROM hotdash.edge_claim('test', 512) \\gset
		SELECT state FROM hotdash.edge_report('test', :'results') \\g /dev/null
		SELECT :'bodies'});
}

sub kept
{
	my ($database) = @_;

	return sql(q{SELECT coalesce(string_agg(event_type, ',' ORDER BY event_type), '') FROM hotdash.messages}, $database);
}

sub history
{
	return sql(q{SELECT coalesce(string_agg(event_type || ' ' || state || ' ' || left(body_kept::text, 1), ', ' ORDER BY event_type, id), '') FROM hotdash.deliveries});
}

sub delivery
{
	my ($event) = @_;

	return sql("SELECT max(id) FROM hotdash.deliveries WHERE event_type = '$event'");
}

sub parts
{
	my ($family) = @_;

	return sql("SELECT coalesce(string_agg(part || CASE WHEN closed_at IS NULL THEN '' ELSE ' closed' END, ', ' ORDER BY part), '') FROM hotdash._part WHERE family = '$family'");
}

sub deleted
{
	my ($table) = @_;

	return sql("SELECT pg_stat_force_next_flush() \\g /dev/null\nSELECT coalesce(sum(n_tup_del), 0) FROM pg_stat_all_tables WHERE relname ~ '^$table\_[0-9]+\$'");
}

$node->create_db_with_extension('app');
my %endpoint = map { $_ => endpoint($_) } qw(done open dead again);
$start = sql('SELECT hotdash._now()');

# Before anybody ticks, and after
is(parts('webhook_messages'), '', 'the script makes no part');
publish('0', 'done', ", idempotency_key => 'k'");
is(sql('SELECT tableoid::regclass FROM hotdash._message'), 'hotdash._message_0', 'part 0 takes what comes before the first tick');
is(deliver('0', 200), '1: {"event": "done"}', 'it is delivered');
tick_at('1 minute');
is(parts('webhook_messages'), '0 closed, 1', 'the tick makes a part of messages');
is(parts('webhook_history'), '0 closed, 1', 'and one of the history');
publish('1 hour', 'dead');
is(deliver('1 hour', 404), '1: {"event": "dead"}', 'one dies');
publish('1 hour', 'again');
is(deliver('1 hour', 200), '1: {"event": "again"}', 'one is delivered, to be replayed later');
publish('1 hour', 'open');
sql("SELECT hotdash.endpoint_disable($endpoint{open})");
is(sql(q{SELECT string_agg(DISTINCT tableoid::regclass::text, ', ') FROM hotdash._message WHERE part > 0}), 'hotdash._message_1', 'rows go to that part');
is(history(), 'again completed t, dead dead t, done completed t, open parked t', 'what there is');

# A session that has published before notices that its part was closed; so does one with an older snapshot
my $session = $node->session('app');
my $old = $node->session('app');
my $publish = q{SELECT hotdash.event_publish('none', '1') AS id \gset
	SELECT part FROM hotdash._message WHERE id = :'id'};
is($session->query($publish), '1', 'a session files into a part');
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
my $writer = $node->session('app');
$writer->query("BEGIN; SELECT hotdash.event_publish('slow', '1')");
tick_at('4 days');
is(parts('webhook_messages'), '0 closed, 1 closed, 2', 'a part is closed after an eighth of the time');
is($session->query($publish), '2', 'a session that used it takes the next');
is($old->query($publish), '2', 'and so does one with a snapshot of before');
$old->query('COMMIT');
is(sql(q{SELECT mark IS NULL FROM hotdash._part WHERE family = 'webhook_messages' AND part = 1}), 't', 'no mark while somebody writes who was there before');
$writer->query('COMMIT');
tick_at('4 days 1 minute');
is(sql(q{SELECT mark >= (SELECT max(id) FROM hotdash._delivery) FROM hotdash._part WHERE family = 'webhook_messages' AND part = 1}), 't', 'then there is one');
$_->quit foreach $session, $old, $writer;

# A completed delivery is sent again: its message is kept anew
sql("SELECT hotdash.endpoint_disable($endpoint{again})");
sql("SELECT hotdash.endpoint_enable($endpoint{again})");
is(sql_at('10 days', 'SELECT hotdash.delivery_replay(' . delivery('again') . ')'), 't', 'a completed delivery is replayed');
is(sql(q{SELECT part FROM hotdash._message WHERE event_type = 'again'}), '2', 'and its message moves to the part of now');
sql("SELECT hotdash.endpoint_disable($endpoint{again})");
is(sql(q{SELECT count(*) FROM hotdash.messages WHERE event_type = 'again'}), '1', 'there is one of it');

# Keys, to the microsecond
my $first = sql(q{SELECT message_id FROM hotdash._message_key});
is(publish('30 days -1 microseconds', 'done', ", idempotency_key => 'k'"), $first, 'a key is remembered');
isnt(my $second = publish('30 days 1 second', 'done', ", idempotency_key => 'k'"), $first, 'and free when its time has passed, tick or no tick');
is(publish('30 days 2 seconds', 'done', ", idempotency_key => 'k'"), $second, 'then the new message has it');
publish('20 days', 'none', ", idempotency_key => 'other'");

# Parts go as a whole; what is open moves
tick_at('33 days');
is(kept(), 'again,dead,done,none,none,none,none,open,slow', 'part 0 is emptied, nothing else has had its time') or diag(parts('webhook_messages'));
my $body = sql(q{SELECT hotdash.message_body(id) FROM hotdash.messages WHERE event_type = 'open'});
my $reader = $node->session('app');
$reader->query('BEGIN; SELECT count(*) FROM hotdash.messages');
tick_at('35 days');
is(kept(), 'again,dead,done,none,none,none,none,open,slow', 'a reader keeps a part from being dropped');
is(sql(q{SELECT part FROM hotdash._message WHERE event_type = 'open'}) > 1, 1, 'what is needed has moved all the same');
is(deleted('_message'), '2', 'no row was deleted but the two that moved');
is(sql('SELECT count(*) FROM pg_locks WHERE NOT granted'), '0', 'nobody is left waiting');
is(length(publish('35 days', 'none')), 30, 'and publishing goes on');
$reader->query('COMMIT');
$reader->quit;
tick_at('35 days 1 hour');
is(kept(), 'again,done,none,none,none,none,open', 'then it goes, but for what is open');
is(sql(q{SELECT hotdash.message_body(id) FROM hotdash.messages WHERE event_type = 'open'}), $body, 'with its bytes');
is(history(), 'again completed t, again parked t, dead dead f, done completed f, done scheduled t, open parked t', 'the history is kept, and shows which bodies are not');
is(sql(q{SELECT count(*) FROM hotdash.delivery_attempts}), '3', 'with its attempts');
is(sql(q{SELECT count(*) FROM hotdash._message_key}), '2', 'keys that have not had their time are there');

# What has no body
my $dead = delivery('dead');
my ($status, $out, $error) = $node->psql('app', "SELECT hotdash.delivery_replay($dead)", on_error_die => 0);
like($error, qr/message of delivery $dead does not exist any more/, 'a dead delivery without its body is not replayed');
like($error, qr/hotdash\.webhook_message_retention, which is 30d/, 'and the error names the setting');
is($node->sqlstate('app', "SELECT hotdash.delivery_replay($dead)"), '42704', 'its code');
is(sql("SELECT hotdash.endpoint_replay($endpoint{dead}, '-infinity')"), '0', 'a replay of all passes it over');
is(sql("SELECT hotdash.job_retry($dead)"), 't', 'retried as a job');
is(deliver('36 days', 200), '1: {"event": "done"}', 'it is not sent');
like(sql("SELECT last_error FROM hotdash.dead_deliveries WHERE id = $dead"), qr/^message msg_\S+ does not exist any more: bodies are kept for hotdash\.webhook_message_retention, which is 30d$/, 'but dead again, and says why');
like(sql("SELECT hotdash.job_explain($dead)"), qr/hotdash\.webhook_message_retention/, 'job_explain too');

# The history goes by its own time
my $done = sql("SELECT min(id) FROM hotdash.deliveries WHERE event_type = 'done'");
tick_at('89 days');
is(sql(q{SELECT count(*) FROM hotdash.deliveries}), '6', 'the history is kept for longer');
tick_at('91 days');
is(sql("SELECT count(*) FROM hotdash.deliveries WHERE id = $done"), '0', 'part 0 goes first');
tick_at('130 days');
is(history(), 'again parked t, open parked t', 'then what ended in part 1, but not what is open') or diag(parts('webhook_history'));
is($node->sqlstate('app', "SELECT hotdash.delivery_replay($done)"), '42704', 'what is gone cannot be replayed');
sql("SELECT hotdash.endpoint_enable($_)") foreach @endpoint{qw(open again)};
is(deliver('131 days', 200), '2: {"event": "open"}, {"event": "again"}', 'what was parked for 131 days is delivered');
is(history(), 'again completed t, open completed t', 'and is history');
tick_at('300 days');
is(kept(), '', 'at last nothing is left');
tick_at('500 days');
is(history(), '', 'of the history neither');
is(sql('SELECT count(*) FROM hotdash._message_key'), '0', 'nor of the keys');
is(sql('SELECT count(*) FROM hotdash._delivery_attempt'), '0', 'nor of the attempts');

# A part is dropped although publishing, claims and reports never cease, and none of them fails
$start = sql_at('500 days', 'SELECT hotdash._now()');
endpoint('load');
publish('0', 'none');
tick_at('4 days');
my $script = $node->basedir . '/load.pgbench';
append_to_file($script, q{SELECT hotdash.event_publish('load', '1');
SELECT coalesce(jsonb_agg(jsonb_build_object('id', id::text, 'token', token::text, 'class', 'http', 'status', 200)), '[]') AS results FROM hotdash.edge_claim('load', 16) \gset
SELECT count(*) FROM hotdash.edge_report('load', :results::jsonb);
});
my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-h', $node->host, '-p', $node->port, '-c', '4', '-T', '600', '-f', $script, 'app' ],
	'>', \my $load_out, '2>', \my $load_error);
my $loaded = q{SELECT count(*) FROM hotdash.delivery_attempts WHERE outcome = 'completed'};
poll_until(sub { sql($loaded) > 100 }, 60, 'the load');
# The whole tick, so far ahead, would end the leases of the claims.
poll_until(sub { sql_at('35 days', 'SELECT hotdash._webhooks_keep()'); kept() !~ /none/ }, 60, 'the part to be dropped');
my $delivered = sql($loaded);
ok(poll_until(sub { sql($loaded) > $delivered }, 60, 'more of it'), 'a part is dropped under load, which goes on');
$pgbench->signal('INT');
$pgbench->finish;
unlike($load_error, qr/error|aborted/i, 'and nobody failed');
# Those that were under way, of now and not of then: they would be too old.
$start = sql('SELECT hotdash._now()');
tick_at('1 hour');
poll_until(sub { deliver('2 hours', 200) eq '0' }, 60, 'the rest');
is(sql(q{SELECT coalesce(string_agg(format('%s %s %s', m.event_type, d.state, d.last_error), ', '), '') FROM hotdash._message m
	LEFT JOIN hotdash.deliveries d ON d.message_id = m.id WHERE d.state IS DISTINCT FROM 'completed'}), '', 'all were delivered');
tick_at("$_ days") foreach 15, 50, 160, 260;
is(kept(), '', 'they go in their turn');

# Kept for good, and then not
$start = sql_at('260 days', 'SELECT hotdash._now()');
sub set_retention
{
	my ($value) = @_;

	$node->append_conf('postgresql.conf', "hotdash.webhook_message_retention = '$value'\nhotdash.webhook_history_retention = '$value'");
	$node->reload;
	poll_until(sub { sql('SHOW hotdash.webhook_message_retention') eq $value }, 60, 'the setting');
	return;
}
set_retention('0');
publish('0', 'done', ", idempotency_key => 'forever'");
deliver('0', 200);
tick_at("$_ days") foreach 1, 100, 3000;
is(kept(), 'done', '0 keeps messages for good');
is(history(), 'done completed t', 'and the history');
is(sql(q{SELECT kept_until IS NULL FROM hotdash.messages}), 't', 'the view says so');
is(publish('3000 days', 'done', ", idempotency_key => 'forever'"), sql('SELECT id FROM hotdash.messages'), 'and keys');
set_retention('1d');
tick_at('3000 days 1 hour');
is(kept(), 'done', 'a shorter time holds for what is there');
tick_at('3001 days 2 hours');
is(kept(), '', 'counted from when its part was closed');
set_retention('7d');

# Dump and restore
$start = sql_at('3001 days 2 hours', 'SELECT hotdash._now()');
sql("SELECT hotdash.endpoint_disable($_)") foreach values %endpoint;
sql("SELECT hotdash.endpoint_enable($endpoint{open})");
publish('0', 'open');
sql("SELECT hotdash.endpoint_disable($endpoint{open})");
tick_at('1 day');
publish('1 day', 'none');
my $before = sql('SELECT string_agg(m::text, chr(10) ORDER BY id) FROM hotdash._message m');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
sql('CREATE DATABASE restored TEMPLATE template0', 'postgres');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore without an error');
is(sql('SELECT string_agg(m::text, chr(10) ORDER BY id) FROM hotdash._message m', 'restored'), $before, 'the messages are there');
is(sql(q{SELECT string_agg(p::text, chr(10) ORDER BY family, part) FROM hotdash._part p}, 'restored'),
	sql(q{SELECT string_agg(p::text, chr(10) ORDER BY family, part) FROM hotdash._part p}), 'in the same parts');
tick_at('100 days', 'restored');
is(kept('restored'), 'none,open', 'a copy drops nothing while it is paused');
sql('SELECT hotdash.instance_adopt()', 'restored');
tick_at("$_ days", 'restored') foreach 100, 120, 140;
is(kept('restored'), 'open', 'then all but what is open');

# Parts are nobody's but the owner's, and go with the extension
sql('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA hotdash TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA hotdash TO reader');
is(sql(q{SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE i.inhparent IN ('hotdash._message'::regclass, 'hotdash._delivery'::regclass, 'hotdash._delivery_attempt'::regclass) AND NOT relrowsecurity}), '0', 'no part without row security');
is(sql(q{SET ROLE reader; SELECT count(*) FROM hotdash._message_0}), '0', 'nobody reads one past the parent');
is($node->psql('app', 'DROP OWNED BY reader; DROP EXTENSION hotdash'), 0, 'DROP EXTENSION needs no CASCADE');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname ~ '^_(message|delivery)'}), '0', 'and takes the parts along');
is($node->psql('app', 'CREATE EXTENSION hotdash'), 0, 'it can be created again');

$node->stop;
done_testing();

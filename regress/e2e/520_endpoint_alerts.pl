# Alerts about endpoints: raised when the breaker opens, when an endpoint refuses or is disabled; told to the other
# endpoints of its tenant, never to itself; and without an end to what they tell each other only as long as there
# is a cause outside. This test is the edge, over SQL; the clock of the server is moved where time has to pass.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('endpoints');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql('app', shift) }

sub endpoint
{
	my ($tenant) = @_;

	return sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => '$tenant', max_attempts => 50)");
}

sub publish { my ($tenant) = @_; return sql("SELECT hotdash.event_publish('a', '1', tenant => '$tenant')") }

# Claim what is due, and report an answer for each, by endpoint: a status, or tls; returns how many there were.
sub answer
{
	my (%status) = @_;
	my @claims = map { [ split /\|/ ] } split /\n/, sql(q{SELECT c.id, c.token, d.endpoint_id FROM hotdash.edge_claim('test', 512) c JOIN hotdash._delivery d USING (id)});
	my $results = join ', ', map { my $s = $status{ $_->[2] } // 200; qq({"id":"$_->[0]","token":"$_->[1]",) . ($s eq 'tls' ? '"class":"tls","error":"certificate has expired","sent":false}' : qq("class":"http","status":$s,"sent":true})) } @claims;

	sql("SELECT count(*) FROM hotdash.edge_report('test', '[$results]')") if @claims;
	return scalar @claims;
}

# Until nothing is due any more, but not for ever; returns the rounds.
sub run
{
	my ($choose) = @_;
	my $rounds = 0;

	while ($rounds < 40 && sql(q{SELECT count(*) FROM hotdash._job WHERE at < 'infinity'}) > 0)
	{
		answer($choose->($rounds++));
		$node->pass_time(3 * 3600);
	}
	return $rounds;
}

# What was told to an endpoint, besides what the application published.
sub told
{
	my ($id) = @_;

	return sql(qq{SELECT coalesce(string_agg(substr(m.event_type, 9) || ' ' || coalesce(convert_from(m.body, 'UTF8')::jsonb ->> 'name', ''), ', ' ORDER BY d.id), '')
		FROM hotdash._delivery d JOIN hotdash._message m ON m.id = d.message_id WHERE d.endpoint_id = $id AND m.event_type LIKE 'hotdash.%'});
}

sub alert { my ($id) = @_; return sql("SELECT string_agg(state || ' ' || severity, ', ' ORDER BY id) FROM hotdash.alerts WHERE name = 'endpoint:$id'") }

# The breaker
my ($bad, $good) = (endpoint('one'), endpoint('one'));
publish('one') foreach 1 .. 3;
answer($bad => 503);
is(alert($bad), 'open warning', 'a breaker that opens raises an alert');
is(told($good), "alert.raised endpoint:$bad", 'the other endpoint of the tenant is told');
is(told($bad), '', 'itself is not');
run(sub { return ($bad => $_[0] < 3 ? 503 : 200) });
is(alert($bad), 'cleared warning', 'a success clears it');
is(told($good), "alert.raised endpoint:$bad, alert.cleared endpoint:$bad", 'each is told once');

# Refusals, and being disabled
publish('one') foreach 1 .. 2;
answer($bad => 401);
is(alert($bad), 'cleared warning', 'two refusals are none');
publish('one');
answer($bad => 403);
is(alert($bad), 'cleared warning, open warning', 'three are');
publish('one');
answer($bad => 410);
is(alert($bad), 'cleared warning, open critical', 'an endpoint that is gone is critical');
sql("SELECT hotdash.endpoint_enable($bad)");
is(alert($bad), 'cleared warning, cleared critical', 'until it is enabled');
sql("SELECT hotdash.endpoint_disable($bad, 'for a while')");
is(alert($bad), 'cleared warning, cleared critical, open info', 'who disables it by hand knows that');
like(told($good), qr/alert\.escalated endpoint:$bad, endpoint\.disabled , alert\.cleared endpoint:$bad, alert\.raised endpoint:$bad, endpoint\.disabled $/,
	'all of which is told');
is(told($bad), '', 'to the other');
sql("SELECT hotdash.endpoint_enable($bad)");
run(sub { () });

# TLS
($bad, $good) = (endpoint('tls'), endpoint('tls'));
publish('tls');
answer($bad => 'tls');
is(alert($bad), 'open warning', 'the first TLS connection that fails raises an alert');
like(sql("SELECT message FROM hotdash.alerts WHERE name = 'endpoint:$bad'"), qr/TLS/, 'which says what it is');
is(told($good), "alert.raised endpoint:$bad", 'the other endpoint is told');
run(sub { return ($bad => $_[0] < 2 ? 'tls' : 200) });
is(alert($bad), 'cleared warning', 'the next success clears it');
is(told($good), "alert.raised endpoint:$bad, alert.cleared endpoint:$bad", 'once');

# A receiver that refuses everything, for whatever reason
($bad, $good) = (endpoint('moved'), endpoint('moved'));
foreach my $status (400, 404, 405, 422, 301, 413, 409, 404, 404)
{
	publish('moved');
	answer($bad => $status);
}
is(alert($bad), '', 'nine refusals in a row are none');
publish('moved') foreach 1 .. 2;
answer();
foreach (1 .. 9)
{
	publish('moved');
	answer($bad => 422);
}
is(alert($bad), '', 'nor are nine after a success');
publish('moved');
answer($bad => 404);
is(alert($bad), 'open warning', 'ten are');
is(sql("SELECT message FROM hotdash.alerts WHERE name = 'endpoint:$bad'"), "endpoint $bad refuses what is sent to it: 10 times in a row, the last with HTTP 404: not_found", 'which says so');
is(sql("SELECT breaker, enabled FROM hotdash.endpoints WHERE id = $bad"), 'closed|t', 'the breaker is closed');
publish('moved');
answer();
is(alert($bad), 'cleared warning', 'a success clears it');
publish('moved');
answer($bad => 404);
foreach my $days (3, 2.1)
{
	is(sql("SELECT enabled FROM hotdash.endpoints WHERE id = $bad"), 't', 'it is enabled');
	$node->pass_time($days * 86400);
	publish('moved');
	answer($bad => 404);
}
is(sql("SELECT enabled, disabled_reason LIKE 'nothing but failures since %' FROM hotdash.endpoints WHERE id = $bad"), 'f|t', 'until it has answered nothing but 404 for days');
is(alert($bad), 'cleared warning, open critical', 'which is critical');
sql("SELECT hotdash.endpoint_enable($bad)");
publish('moved');
answer($bad => 422);
$node->pass_time(6 * 86400);
publish('moved');
answer($bad => 422);
is(sql("SELECT enabled FROM hotdash.endpoints WHERE id = $bad"), 't', 'other refusals do not disable it');
run(sub { () });

# Two endpoints that fail and recover in turn: what each is told about the other is what it fails at next
my ($left, $right) = (endpoint('two'), endpoint('two'));
publish('two') foreach 1 .. 3;
my $rounds = run(sub { my ($n) = @_; return int($n / 4) % 2 ? ($left => 200, $right => 503) : ($left => 503, $right => 200) });
cmp_ok($rounds, '<', 40, 'they do not keep each other busy for ever');
is(sql(q{SELECT count(*) FROM hotdash._job}), '0', 'all that was told is delivered');
cmp_ok(sql(q{SELECT count(*) FROM hotdash._message WHERE tenant = 'two' AND event_type LIKE 'hotdash.%'}), '<=', 4, 'and it was little');
publish('two') foreach 1 .. 3;
answer($left => 503, $right => 503);
is(sql(q{SELECT count(*) FROM hotdash.alerts WHERE tenant = 'two' AND state = 'open'}), '2', 'both at once');
$rounds = run(sub { my ($n) = @_; return $n % 2 ? () : ($left => 503, $right => 503) });
cmp_ok($rounds, '<', 40, 'neither');

$node->stop;
done_testing();

#!/usr/bin/perl
#
# Secrets at rest: the key file and everything that can be wrong with it, keys replaced, lost and brought back,
# ciphertexts moved to other rows, a dump, a crash. And that no secret is in a log, a view, an error or a file: secrets
# are planted, everything is done that uses them, and then they are looked for.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_hex);
use HotDash;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('secrets', conf => <<'CONF');
shared_preload_libraries = 'pg_cron,hotdash,auto_explain'
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length_on_error = -1
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
auto_explain.log_verbose = on
CONF
$node->create_db_with_extension('app');

my $file = $node->basedir . '/secret.keys';
my $quiet = q{SET log_statement = none; SET log_min_duration_statement = -1; SET auto_explain.log_min_duration = -1; };

sub sql { return $node->safe_psql('app', shift) }
sub health { return sql("SELECT hotdash.health() #>> '{checks,secrets,$_[0]}'") }

# Another key file: the settings are reloaded, and sessions that come see it.
sub reload
{
	my ($setting) = @_;
	my $before = sql('SELECT pg_conf_load_time()');

	sql("ALTER SYSTEM SET hotdash.secret_key_file = '$setting'");
	$node->reload;
	$node->poll_query_until('app', "SELECT pg_conf_load_time() > '$before'") or die 'the settings were not reloaded';
	return;
}

sub keys_are
{
	my ($text, $mode) = @_;

	unlink $file;
	append_to_file($file, $text);
	chmod($mode // 0600, $file);
	reload($file);
	return;
}

sub key { my ($id, $byte) = @_; return "$id:" . encode_base64(chr($byte) x 32) }

# The two that are planted: raw bytes, as the files would have them, and as they are given.
sub planted { my ($what) = @_; return ("planted-$what-" . ('x' x 20)) }
sub whsec { return 'whsec_' . encode_base64(planted(shift), '') }

sub endpoint
{
	my ($tenant, $secret) = @_;

	return sql($quiet . "SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => '$tenant', secret => '$secret')");
}

sub publish { my ($tenant) = @_; sql("SELECT hotdash.event_publish('a', '{}', tenant => '$tenant')"); return }

sub claim { return split /\n/, sql(q{SELECT id || ' ' || token FROM hotdash.edge_claim('test', 512)}) }

sub complete
{
	my $results = join ', ', map { my ($id, $token) = split; qq({"id":"$id","token":"$token","class":"http","status":200,"sent":true}) } @_;
	return sql("SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[$results]')");
}

sub states { my ($tenant) = @_; return sql("SELECT string_agg(state || ' ' || attempt, ', ' ORDER BY id) FROM hotdash.deliveries WHERE tenant = '$tenant'") }

# A signed request to a source of scheme github.
sub receive
{
	my ($source, $secret, $id, $prefix) = @_;
	my $signature = ($prefix // 'sha256=') . hmac_sha256_hex('{}', $secret);

	return sql(qq{SELECT status || ' ' || reason FROM hotdash.inbound_receive('$source',
		'{"X-Hub-Signature-256":"$signature","X-GitHub-Delivery":"$id","X-GitHub-Event":"push"}', '{}')});
}

my $early = endpoint('early', whsec('early'));
sql($quiet . "SELECT hotdash.inbound_set('early', 'github', '" . planted('inbound-early') . "')");
is(sql(q{SELECT hotdash.edge_hello(1, 'test', '0') ->> 'protocol'}), '1', 'an edge is there');

subtest 'without a key file' => sub {
	is(health('status'), 'healthy', 'is not a failure');
	is(health('state'), 'not encrypted', 'but is said');
	is(health('not_newest'), '2', 'of how many');
	is(sql('SELECT hotdash.secret_reseal()'), '0', 'there is nothing to encrypt with');
};

subtest 'a key file that cannot be used' => sub {
	my $good = key('k1', 1);
	my @wrong = (
		[ 'open to others', $good, 0640, qr/group or world has access/ ],
		[ 'empty', '', 0600, qr/it holds no key/ ],
		[ 'comments only', "# k1\n\n", 0600, qr/it holds no key/ ],
		[ 'no id', encode_base64('y' x 32), 0600, qr/line 1 does not begin with the id/ ],
		[ 'a bad id', "k 1:" . encode_base64('y' x 32), 0600, qr/line 1 does not begin with the id/ ],
		[ 'a short key', $good . 'k2:' . encode_base64('y' x 31), 0600, qr/line 2 does not hold base64 of 32 bytes/ ],
		[ 'a long key', 'k2:' . encode_base64('y' x 33), 0600, qr/line 1 does not hold base64 of 32 bytes/ ],
		[ 'no base64', "k2:" . ('?' x 44) . "\n", 0600, qr/line 1 does not hold base64 of 32 bytes/ ],
		[ 'more on the line', "k2:" . encode_base64('y' x 32, '') . " more\n", 0600, qr/line 1 does not hold base64 of 32 bytes/ ],
		[ 'an id twice', $good . "\n" . $good, 0600, qr/line 3 repeats the id/ ],
		[ 'zeros', "\0" x 100, 0600, qr/it holds no key/ ],
		[ 'too large', '#' x 65537, 0600, qr/larger than 65536/ ]);
	foreach my $case (@wrong)
	{
		my ($what, $text, $mode, $problem) = @$case;
		keys_are($text, $mode);
		like(health('detail'), $problem, "$what: health() says why");
		is(health('status'), 'degraded', "$what: and is degraded");
		is($node->sqlstate('app', "${quiet}SELECT hotdash.inbound_set('no', 'github', 'x')"), '55000', "$what: nothing is stored without encryption");
	}
	reload($node->basedir . '/nowhere');
	like(health('detail'), qr/could not open the file/, 'none there');
	reload($node->basedir);
	like(health('detail'), qr/not a regular file/, 'a folder');
	is($node->sqlstate('app', q{SELECT hotdash.endpoint_rotate_secret(1)}), '55000', 'no secret is made either');
	is(receive('early', planted('inbound-early'), 'e1'), '200 enqueued', 'what is stored plain goes on working');
	is($node->sqlstate('app', "SET hotdash.secret_key_file = '/etc/passwd'"), '55P02', 'no session can name another file');
	sql('CREATE ROLE plain LOGIN');
	is($node->sqlstate('app', 'SET ROLE plain; SHOW hotdash.secret_key_file'), '42501', 'or see which it is');
};

keys_are("# newest first\n\n" . key('k1', 1));
subtest 'encrypting what is there' => sub {
	is(health('state'), 'some not encrypted with the newest key', 'not all is');
	is(sql('SELECT hotdash.secret_reseal()'), '2', 'both are');
	is(sql('SELECT hotdash.secret_reseal()'), '0', 'once');
	is(health('state'), 'encrypted', 'now it is');
	is(sql("SELECT hotdash.endpoint_secret($early)"), whsec('early'), 'and can be read');
	is(receive('early', planted('inbound-early'), 'e2'), '200 enqueued', 'and used');
};

my $late = endpoint('late', whsec('late'));
sql($quiet . "SELECT hotdash.inbound_set('late', 'github', '" . planted('inbound-late') . "')");

subtest 'a ciphertext belongs to its row' => sub {
	my $swap = q{UPDATE hotdash._endpoint_key AS k SET key = o.key FROM hotdash._endpoint_key AS o WHERE (k.endpoint_id, o.endpoint_id) IN ((1, 2), (2, 1))};

	publish('late');
	sql($swap);
	is($node->sqlstate('app', "SELECT hotdash.endpoint_secret($late)"), 'XX001', 'in another it does not open');
	is(health('lost'), '2', 'which health() counts');
	is(scalar(claim()), 0, 'nothing is signed with it');
	is(states('late'), 'scheduled 0', 'the delivery waits, without costing an attempt');
	sql($swap);
	is(health('lost'), '0', 'back in its own it does');
	sql(q{UPDATE hotdash._endpoint_key SET key = set_byte(key, length(key) - 20, get_byte(key, length(key) - 20) # 1) WHERE endpoint_id = 2});
	is($node->sqlstate('app', "SELECT hotdash.endpoint_secret($late)"), 'XX001', 'a bit that was changed is found');
	sql(q{UPDATE hotdash._endpoint_key SET key = set_byte(key, length(key) - 20, get_byte(key, length(key) - 20) # 1) WHERE endpoint_id = 2});
	sql('SELECT hotdash._job_reschedule(array_agg(id), hotdash._now()) FROM hotdash._job');
	is(complete(claim()), 'completed', 'the delivery goes on');
};

subtest 'keys are replaced' => sub {
	sql($quiet . "SELECT hotdash.inbound_set('two', 'github', '" . planted('inbound-two-1') . "')");
	keys_are(key('k2', 2) . key('k1', 1));
	is(receive('late', planted('inbound-late'), 'k1'), '200 enqueued', 'the old key opens');
	my $new = sql(q{SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => 'new')});
	is(sql("SELECT hotdash._secret_key_id(key) FROM hotdash._endpoint_key WHERE endpoint_id = $new"), 'k2', 'the new one seals');
	is(health('not_newest'), '5', 'five are behind');
	sql($quiet . "SELECT hotdash.inbound_rotate_secret('two', '" . planted('inbound-two-2') . "')");

	# sessions that live through it
	my $session = $node->session('app');
	$session->query("SELECT hotdash.endpoint_secret($late)");
	keys_are(key('k2', 2));
	is(health('state'), 'some cannot be decrypted', 'taken away too early: health() says so');
	is(health('keys_missing'), '["k1"]', 'and which');
	is(health('status'), 'degraded', 'and is degraded');
	is(receive('late', planted('inbound-late'), 'k2'), '503 no_key', 'senders are told to come again');
	is(receive('two', planted('inbound-two-1'), 't1'), '503 no_key', 'so are those who sign with the one of two that is lost');
	is(receive('two', planted('inbound-two-2'), 't2'), '200 enqueued', 'the other one is good');
	is(receive('two', planted('inbound-two-1'), 't3', 'md5='), '401 malformed_header', 'and what no secret could have signed is refused');
	sql(q{SELECT hotdash.inbound_delete('two')});
	is($node->sqlstate('app', "SELECT hotdash.endpoint_secret($late)"), '55000', 'an admin is told');
	is($node->sqlstate('app', 'SELECT hotdash.secret_reseal()'), '55000', 'nothing is lost by resealing now');
	publish($_) foreach qw(late new);
	is(complete(claim()), 'completed', 'other endpoints are served');
	is(states('late'), 'completed 1, scheduled 0', 'the one without its key waits');
	unlike($session->query("SELECT hotdash.endpoint_secret($late)") // '', qr/whsec/, 'a session from before has forgotten it too');
	$session->quit;

	keys_are(key('k2', 2) . key('k1', 1));
	is(sql('SELECT hotdash.secret_reseal()'), '4', 'brought back, all are sealed anew');
	keys_are(key('k2', 2));
	is(health('state'), 'encrypted', 'and the old key can go');
	sql('SELECT hotdash._job_reschedule(array_agg(id), hotdash._now()) FROM hotdash._job');
	is(complete(claim()), 'completed', 'what waited is delivered');
	keys_are("k2:" . encode_base64('z' x 32));
	is($node->sqlstate('app', "SELECT hotdash.endpoint_secret($late)"), 'XX001', 'another key of the same name opens nothing');
	keys_are(key('k2', 2));
};

subtest 'everything that uses a secret' => sub {
	sql("SELECT hotdash.endpoint_rotate_secret($late, '1 hour') IS NULL");
	sql($quiet . "SELECT hotdash.inbound_rotate_secret('late', '" . planted('inbound-rotated') . "')");
	publish('late');
	is(complete(claim()), 'completed', 'two signatures');
	is(receive('late', planted('inbound-rotated'), 'u1'), '200 enqueued', 'the new secret');
	is(receive('late', planted('inbound-late'), 'u2'), '200 enqueued', 'the old one');
	is(receive('late', 'x', 'u3'), '401 mismatch', 'another');
	sql(q{UPDATE hotdash._endpoint_key SET retires_at = now() WHERE retires_at IS NOT NULL; UPDATE hotdash._inbound_message SET expires_at = now() WHERE message_id = 'u1'});
	sql(q{CALL hotdash._tick()});
	is(sql(q{SELECT count(*) FROM hotdash._endpoint_key WHERE retires_at IS NOT NULL}), '0', 'the tick deletes secrets whose overlap has ended');
	is(sql(q{SELECT string_agg(message_id, ' ' ORDER BY 1) FROM hotdash.inbound_messages WHERE source = 'late'}), 'k1 u2', 'and ids that were kept long enough');
	sql(q{SELECT count(*) FROM hotdash.endpoints, hotdash.inbound_sources, hotdash.inbound_messages});

	# what is refused for its secret is not logged, though the statement failed
	my $bad = planted('refused') . '!';
	is($node->sqlstate('app', "${quiet}SELECT hotdash.inbound_set('bad', 'standard', '$bad')"), '22023', 'a secret that is none');
	is($node->sqlstate('app', "${quiet}SELECT hotdash.endpoint_create('http://a', secret => '$bad')"), '22023', 'nor for an endpoint');
	is($node->sqlstate('app', "${quiet}SELECT hotdash.webhook_sign('$bad', 'm', now(), '')"), '22023', 'or to sign with');
};

subtest 'a crash, and a dump that is restored elsewhere' => sub {
	$node->kill_postmaster;
	is(health('state'), 'encrypted', 'after a crash');
	is(receive('late', planted('inbound-late'), 'u2'), '200 duplicate', 'what was taken is known');
	my $dump = $node->basedir . '/dump.sql';
	command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-f', $dump, 'app' ], 'pg_dump');
	my $text = slurp_file($dump);
	unlike($text, qr/\Q$_\E/, 'the dump holds no secret') foreach map { unpack('H*', planted($_)) } qw(early late inbound-early inbound-late inbound-rotated);

	my $other = HotDash->cluster('other');
	$other->safe_psql('postgres', q{CREATE DATABASE app ENCODING 'UTF8' TEMPLATE template0});
	$other->safe_psql('app', 'CREATE ROLE plain LOGIN');
	command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-h', $other->host, '-p', $other->port, '-d', 'app', '-f', $dump ], 'restored');
	is($other->sqlstate('app', "SELECT hotdash.endpoint_secret($early)"), '55000', 'without the key it opens nothing');
	is($other->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,secrets,keys_missing}'}), '["k2"]', 'and says which key it wants');
	$other->append_conf('postgresql.conf', "hotdash.secret_key_file = '$file'");
	$other->reload;
	$other->poll_query_until('app', q{SELECT current_setting('hotdash.secret_key_file') <> ''}) or die;
	is($other->safe_psql('app', "SELECT hotdash.endpoint_secret($early)"), whsec('early'), 'with it everything');
};

# Those planted after the key was there must be nowhere in the data directory; none may be in the log.
subtest 'nowhere to be found' => sub {
	my $log = slurp_file($node->logfile);
	foreach my $what (qw(early late inbound-early inbound-late inbound-rotated refused))
	{
		my $raw = planted($what);
		my $base64 = encode_base64($raw, '');
		my $hex = unpack('H*', $raw);
		unlike($log, qr/\Q$raw\E|\Q$base64\E|$hex/i, "the log does not show $what");
	}
	like($log, qr/edge_claim/, 'though it has the statements');
	like($log, qr/_endpoint_key/, 'and those within');
	unlike($log, qr/leak: /, 'and no resource was left behind');

	sql('CHECKPOINT');
	$node->stop;
	foreach my $what (qw(late inbound-late inbound-rotated))
	{
		my $found = qx(grep -rlaF -e '@{[ planted($what) ]}' -e '@{[ encode_base64(planted($what), '') ]}' @{[ $node->data_dir ]});
		is($found, '', "no file of the data directory holds $what");
	}
	my $found = qx(grep -rlaF -e '@{[ planted('inbound-early') ]}' @{[ $node->data_dir ]});
	isnt($found, '', 'where one was stored before there was a key it is found');
};

done_testing();

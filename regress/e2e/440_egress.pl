#!/usr/bin/perl
#
# The way out, through a real edge: HTTP and SOCKS proxies, with names and with addresses, logins, what a
# proxy is blamed for and what the receiver; and client certificates, which connections keep apart.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('egress', conf => "log_statement = all\nlog_min_duration_statement = 0\n");
$node->create_db_with_extension('app');
my $quiet = q{SET log_statement = none; SET log_min_duration_statement = -1; };

sub sql { return $node->safe_psql('app', $quiet . shift) }

sub start
{
	my ($name, $script, @arguments) = @_;
	my $process = HotDash::Process->start($name, undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/$script", @arguments);
	my $port = poll_until(sub { $process->log =~ /(?:port |:)(\d+)$/m && $1 }, 30, $name);
	return ($process, $port);
}

sub get { my ($port, $path) = @_; return HTTP::Tiny->new(no_proxy => '127.0.0.1')->get("http://127.0.0.1:$port$path")->{content} }
sub asked { my ($port) = @_; return @{ decode_json(get($port, '/_log')) } }

my $events = 0;

# An endpoint, one event, and the first attempt at it: class, status, reason, and what became of it.
sub attempt
{
	my ($url, $options) = @_;
	my $event = 'e' . ++$events;
	my $id = sql("SELECT hotdash.endpoint_create('$url', events => '{$event}', max_attempts => 1, timeout => '3 s', options => \$o\$$options\$o\$)");

	sql("SELECT hotdash.event_publish('$event', '{}')");
	return wait_for($id, 1);
}

sub wait_for
{
	my ($id, $n) = @_;

	poll_until(sub { sql("SELECT count(*) >= $n FROM hotdash.delivery_attempts WHERE endpoint_id = $id") eq 't' }, 60, "attempt $n of endpoint $id");
	return sql("SELECT a.error_class, a.status, a.reason, d.state, d.attempt FROM hotdash.delivery_attempts a JOIN hotdash.deliveries d ON d.id = a.delivery_id "
		. "WHERE a.endpoint_id = $id ORDER BY a.finished_at DESC LIMIT 1");
}

# An authority, a server, and two clients.
my $dir = PostgreSQL::Test::Utils::tempdir();

sub openssl { PostgreSQL::Test::Utils::system_or_bail('openssl', @_); return }

sub certificate
{
	my ($name, $days) = @_;
	my @key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', "$dir/$name.key");

	openssl('req', @key, '-subj', "/O=hot dash/CN=$name", '-addext', 'subjectAltName=DNS:localhost', '-out', "$dir/$name.csr");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', $days,
		'-copy_extensions', 'copy', '-out', "$dir/$name.crt");
	return slurp_file("$dir/$name.crt") . slurp_file("$dir/$name.key");
}

openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=authority', '-days', '20',
	'-keyout', "$dir/ca.key", '-out', "$dir/ca.crt");
certificate('server', 20);
my %pem = (alice => certificate('alice', 20), bob => certificate('bob', 5));

my ($receiver, $plain) = start('plain', 'receiver.mjs');
my ($secure, $tls) = start('secure', 'receiver.mjs', "$dir/server.key", "$dir/server.crt", "$dir/ca.crt");
my ($open, $proxy) = start('open proxy', 'proxy.mjs', '', 'inside.test');
my ($closed, $guarded) = start('guarded proxy', 'proxy.mjs', 'us%er:p@ss', 'inside.test');
my $login = 'us%25er:p%40ss';

# What the receiver that speaks TLS has seen; nothing here can ask it but the edge.
sub secure_seen
{
	my $id = sql("SELECT hotdash.http_request('https://localhost:$tls/_seen', options => '{\"max_response\": 1000000}')");
	poll_until(sub { sql("SELECT (hotdash.http_response($id)).state") eq 'completed' }, 30, 'the receiver to tell');
	return decode_json(sql("SELECT hotdash.http_response_text($id)"));
}

my %settings = (allow_addresses => '127.0.0.0/8, ::1', ca_file => "$dir/ca.crt", max_response_bytes => '1MB', connect_timeout => '2s', log_level => 'debug');
# What an environment says of proxies is nobody's business.
my %env = (env => { no_proxy => '*', http_proxy => 'http://127.0.0.1:1', https_proxy => 'http://127.0.0.1:1', ALL_PROXY => 'http://127.0.0.1:1' });
my $edge = $node->start_edge('app', \%settings, name => 'own', %env);

subtest 'a proxy of the endpoint, addresses handed over' => sub {
	is(attempt("http://localhost:$plain/ok", qq({"proxy":"http://127.0.0.1:$proxy"})), 'http|200|delivered|completed|1', 'http');
	my ($last) = reverse asked($proxy);
	is("$last->{how} $last->{to}", "connect 127.0.0.1:$plain", 'in a tunnel to the address');
	is_deeply([ grep { /^(webhook|content-type|traceparent)/ } keys %{ $last->{headers} } ], [], 'the proxy is shown nothing of the request');
	is(attempt("https://localhost:$tls/ok", qq({"proxy":"http://localhost:$proxy"})), 'http|200|delivered|completed|1', 'https, the proxy by name');
	is(attempt("http://127.0.0.1:$plain/ok", qq({"proxy":"http://127.0.0.1:$proxy"})), 'http|200|delivered|completed|1', 'an address');
	is(attempt("https://localhost:$tls/ok", qq({"proxy":"socks5h://127.0.0.1:$proxy"})), 'http|200|delivered|completed|1', 'SOCKS');
	($last) = reverse asked($proxy);
	is("$last->{how} $last->{to} $last->{type}", "socks 127.0.0.1:$tls 1", 'to the address, as one');
	is(attempt("http://localhost:$plain/status/503", qq({"proxy":"http://127.0.0.1:$proxy"})), 'http|503|unavailable|dead|1', 'the receiver\'s answer counts');
	is(attempt("http://localhost:$plain/status/407", qq({"proxy":"http://127.0.0.1:$proxy"})), 'http|407|rejected|dead|1', 'whatever it is');
	is(attempt("https://127.0.0.1:$tls/ok", qq({"proxy":"http://127.0.0.1:$proxy"})), 'tls||tls_failed|dead|1', 'certificates are verified');
	is(attempt("http://no-such-name.invalid/", qq({"proxy":"http://127.0.0.1:$proxy"})), 'dns||dns_failed|dead|1', 'a name that is none');
	is(attempt('http://127.0.0.1:1/', qq({"proxy":"http://127.0.0.1:$proxy"})), 'connect||connect_failed|dead|1', 'a receiver that is away is charged');
	is(attempt('http://127.0.0.1:1/', qq({"proxy":"socks5h://127.0.0.1:$proxy"})), 'connect||connect_failed|dead|1', 'through SOCKS too');
	is(attempt("http://localhost:$plain/hang", qq({"proxy":"http://127.0.0.1:$proxy"})), 'timeout||unknown_outcome|dead|1', 'one that is silent too');
};

subtest 'logins' => sub {
	my $n = asked($guarded);
	is(attempt("http://localhost:$plain/ok", qq({"proxy":"http://$login\@127.0.0.1:$guarded"})), 'http|200|delivered|completed|1', 'HTTP');
	is(attempt("https://localhost:$tls/ok", qq({"proxy":"socks5h://$login\@127.0.0.1:$guarded"})), 'http|200|delivered|completed|1', 'SOCKS');
	is(scalar(asked($guarded)), $n + 2, 'both went through it');
	is(attempt("http://localhost:$plain/ok", qq({"proxy":"http://127.0.0.1:$guarded"})), 'proxy||proxy_failed|scheduled|0', 'another endpoint without a login: 407, not charged');
	is(attempt("http://localhost:$plain/ok", qq({"proxy":"http://x:y\@127.0.0.1:$guarded"})), 'proxy||proxy_failed|scheduled|0', 'a wrong one');
	is(attempt("https://localhost:$tls/ok", qq({"proxy":"socks5h://x:y\@127.0.0.1:$guarded"})), 'proxy||proxy_failed|scheduled|0', 'to SOCKS');
	is(sql('SELECT count(DISTINCT proxy) FROM hotdash.endpoints WHERE proxy ~ $$^(http|socks5h)://(127\.0\.0\.1|localhost):\d+$$ ') , sql('SELECT count(DISTINCT proxy) FROM hotdash.endpoints'), 'the view shows host and port');
};

subtest 'the proxy is down' => sub {
	is(attempt("http://localhost:$plain/ok", '{"proxy":"http://127.0.0.1:1"}'), 'proxy||proxy_failed|scheduled|0', 'HTTP: put off, not charged');
	is(attempt("http://localhost:$plain/ok", '{"proxy":"socks5h://127.0.0.1:1"}'), 'proxy||proxy_failed|scheduled|0', 'SOCKS');
	# A queue that is full: nobody answers the connection.
	my $full = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
	my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;
	is(attempt("http://localhost:$plain/ok", qq({"proxy":"http://127.0.0.1:@{[ $full->sockport ]}"})), 'proxy||proxy_failed|scheduled|0', 'it does not answer');
	is(attempt("http://localhost:$plain/ok", '{"proxy":"http://no-such-proxy.invalid:1"}'), 'proxy||proxy_failed|scheduled|0', 'no such name');
	is(sql("SELECT count(*) FROM hotdash.deliveries WHERE last_reason = 'proxy_failed' AND next_attempt_at BETWEEN now() AND now() + '30 s'"), 7, 'for 30 s');
	is(sql("SELECT count(*) FROM hotdash.endpoints WHERE breaker <> 'closed'"), 0, 'no breaker opens for it');
};

subtest 'addresses that are not public' => sub {
	is($edge->stop, 0, 'the edge ends');
	$edge = $node->start_edge('app', { %settings, allow_addresses => '::1' }, name => 'wary', %env);
	my $n = asked($proxy);
	is(attempt('http://example.test/', qq({"proxy":"http://127.0.0.1:$proxy"})), 'dns||dns_failed|dead|1', 'names are looked up before the proxy is asked');
	is(attempt('http://192.0.2.1/', qq({"proxy":"http://127.0.0.1:$proxy"})), 'blocked||address_blocked|dead|1', 'a receiver that is not public');
	is(attempt("http://8.8.8.8:$plain/", qq({"proxy":"http://127.0.0.1:$proxy"})), 'blocked||address_blocked|dead|1', 'a proxy that is not');
	is(scalar(asked($proxy)), $n, 'the proxy was not even connected');
	is($edge->stop, 0, 'the edge ends');
	# The proxy of the settings may be where it is; what is behind it may not.
	$edge = $node->start_edge('app', { %settings, allow_addresses => '', proxy => "http://127.0.0.1:$proxy" }, name => 'proxied', %env);
	is(attempt("http://127.0.0.1:$plain/ok", '{}'), 'blocked||address_blocked|dead|1', 'loopback');
	is(attempt('http://169.254.169.254/latest', '{}'), 'blocked||address_blocked|dead|1', 'metadata');
	is(attempt('http://[::1]/', '{}'), 'blocked||address_blocked|dead|1', 'IPv6');
	is(attempt("http://localhost:$plain/ok", '{}'), 'blocked||address_blocked|dead|1', 'a name that leads there');
	is(scalar(asked($proxy)), $n, 'the proxy was asked for none');
	is($edge->stop, 0, 'the edge ends');
};

subtest 'the proxy of the settings, names handed over' => sub {
	$edge = $node->start_edge('app', { %settings, proxy => "http://$login\@127.0.0.1:$guarded", proxy_bypass => '.direct.test, localhost', proxy_resolves => 'on' }, name => 'default', %env);
	is(attempt("http://inside.test:$plain/ok?x", '{}'), 'http|200|delivered|completed|1', 'a name that only the proxy knows');
	my ($last) = reverse asked($guarded);
	is("$last->{how} $last->{to}", "absolute http://inside.test:$plain/ok?x", 'in the absolute form');
	is(attempt("https://inside.test:$tls/ok", '{}'), 'tls||tls_failed|dead|1', 'https');
	($last) = reverse asked($guarded);
	is("$last->{how} $last->{to}", "connect inside.test:$tls", 'in a tunnel to the name; the certificate is for another');
	my $n = asked($guarded);
	is(attempt("http://localhost:$plain/ok", '{}'), 'http|200|delivered|completed|1', 'a host of the bypass list');
	is(scalar(asked($guarded)), $n, 'goes without it');
	is(attempt("http://status-407.test/", '{}'), 'proxy|407|proxy_failed|scheduled|0', '407 in the absolute form');
	is(attempt("http://inside.test:$plain/status/502", '{}'), 'http|502|unavailable|dead|1', 'another status');
	is(attempt("https://status-$_.test/", '{}'), 'connect||connect_failed|dead|1', "$_ to CONNECT: the receiver is away") foreach 502, 503, 504;
	is(attempt("https://status-$_.test/", '{}'), 'proxy||proxy_failed|scheduled|0', "$_: the proxy is to blame") foreach 400, 403, 407, 500;
	is(attempt('https://rude.test/', '{}'), 'proxy||proxy_failed|scheduled|0', 'it hangs up');
	is(attempt('https://silent.test/', '{}'), 'timeout||connect_timeout|dead|1', 'it waits: perhaps for the receiver');
	is(attempt("https://x.localhost:$tls/", '{}'), 'blocked||address_blocked|dead|1', 'localhost would be the proxy\'s');
	my $socks = qq({"proxy":"socks5h://127.0.0.1:$proxy"});
	is(attempt("http://inside.test:$plain/ok", $socks), 'http|200|delivered|completed|1', 'the endpoint\'s own comes first');
	($last) = reverse asked($proxy);
	is("$last->{how} $last->{to} $last->{type}", "socks inside.test:$plain 3", 'SOCKS with a name');
	is(attempt("http://socks-$_.test/", $socks), 'connect||connect_failed|dead|1', "SOCKS reply $_: the receiver is away") foreach 1, 3, 4, 5, 6;
	is(attempt("http://socks-$_.test/", $socks), 'proxy||proxy_failed|scheduled|0', "SOCKS reply $_: the proxy is to blame") foreach 2, 7;
	is(attempt('http://silent.test/', $socks), 'timeout||connect_timeout|dead|1', 'silence');
	is($edge->stop, 0, 'the edge ends');
};

subtest 'client certificates' => sub {
	$edge = $node->start_edge('app', \%settings, name => 'certified', %env);
	my $json = JSON::PP->new->allow_nonref;
	my %id;
	foreach my $who (qw(alice bob nobody))
	{
		my $options = $pem{$who} ? qq({"client_cert":@{[ $json->encode($pem{$who}) ]}}) : '{}';
		$id{$who} = sql("SELECT hotdash.endpoint_create('https://localhost:$tls/ok/$who', events => '{c.$who}', options => \$o\$$options\$o\$)");
	}
	foreach my $n (1 .. 3)
	{
		foreach my $who (qw(alice bob nobody))
		{
			sql("SELECT hotdash.event_publish('c.$who', '{}')");
			is(wait_for($id{$who}, $n), 'http|200|delivered|completed|1', "$who, $n");
		}
	}
	my @calls = grep { $_->{path} =~ m{^/ok/(alice|bob|nobody)} } @{ secure_seen() };
	is(scalar(@calls), 9, 'all arrived');
	is_deeply([ map { ($_->{path} =~ m{/ok/(\w+)})[0] . '=' . ($_->{client} // 'nobody') } @calls ], [ ('alice=alice', 'bob=bob', 'nobody=nobody') x 3 ], 'each with its own certificate, or none');
	is(sql("SELECT string_agg(reused::text, ' ' ORDER BY finished_at) FROM hotdash.delivery_attempts WHERE endpoint_id IN ($id{alice}, $id{bob}, $id{nobody})"),
		join(' ', ('false') x 3, ('true') x 6), 'on three connections, each used again');
	sql("SELECT hotdash.endpoint_update($id{alice}, \$o\${\"options\":{\"client_cert\":@{[ $json->encode($pem{bob}) ]}}}\$o\$)");
	sql("SELECT hotdash.event_publish('c.alice', '{}')");
	is(wait_for($id{alice}, 4), 'http|200|delivered|completed|1', 'after a change');
	is((grep { $_->{path} eq '/ok/alice' } @{ secure_seen() })[-1]{client}, 'bob', 'the new one counts at once');
	is(sql("SELECT hotdash.endpoint_update($id{bob}, '{\"options\":{\"client_cert\":null,\"proxy\":\"http://127.0.0.1:$proxy\"}}'); SELECT proxy, client_cert_subject IS NULL FROM hotdash.endpoints WHERE id = $id{bob}"), "\nhttp://127.0.0.1:$proxy|t", 'one is taken away, a proxy given') ;
	sql("SELECT hotdash.event_publish('c.bob', '{}')");
	is(wait_for($id{bob}, 4), 'http|200|delivered|completed|1', 'through it');
	is((grep { $_->{path} eq '/ok/bob' } @{ secure_seen() })[-1]{client}, undef, 'without a certificate');
	like(sql("SELECT client_cert_subject || ' ' || client_cert_expires_soon FROM hotdash.endpoints WHERE id = $id{alice}"), qr/^CN=bob,O=hot dash true$/, 'what the view shows');
	is($edge->stop, 0, 'the edge ends');
};

subtest 'secrets' => sub {
	my $keys = $node->basedir . '/secret.keys';
	append_to_file($keys, 'k1:' . encode_base64('k' x 32));
	chmod 0600, $keys;
	sql("ALTER SYSTEM SET hotdash.secret_key_file = '$keys'");
	$node->reload;
	$node->poll_query_until('app', "SELECT current_setting('hotdash.secret_key_file') = '$keys'") or die;
	is(sql('SELECT hotdash.secret_reseal() > 5'), 't', 'logins and certificates are encrypted too');
	is(sql(q{SELECT hotdash.health() #>> '{checks,secrets,state}'}), 'encrypted', 'all of them');
	my ($with) = split /\n/, sql('SELECT endpoint_id FROM hotdash._endpoint_option WHERE cert IS NOT NULL');
	my $event = sql("SELECT events[1] FROM hotdash.endpoints WHERE id = $with");
	sql("UPDATE hotdash._endpoint_option SET cert = set_byte(cert, length(cert) - 20, get_byte(cert, length(cert) - 20) # 1) WHERE endpoint_id = $with");
	sql("SELECT hotdash.event_publish('$event', '{}')");
	is(sql(q{SELECT count(*) FROM hotdash.edge_claim('test', 512)}), 0, 'with a key that cannot be opened nothing is sent');
	is(sql("SELECT state || ' ' || attempt FROM hotdash.deliveries WHERE endpoint_id = $with ORDER BY id DESC LIMIT 1"), 'scheduled 0', 'the delivery waits');
	is(sql(q{SELECT hotdash.health() #>> '{checks,secrets,lost}'}), 1, 'health() counts it');
	is($node->sqlstate('app', $quiet . qq{SELECT hotdash.endpoint_create('http://a', options => '{"$_"}')}), '22023', 'one that is refused')
	  foreach 'proxy":"http://u:planted-1@p', 'client_cert":"planted-2';
	my $log = slurp_file($node->logfile) . join('', map { slurp_file($_) } glob("$PostgreSQL::Test::Utils::log_path/*own*"), glob("$PostgreSQL::Test::Utils::log_path/*certified*"));
	my ($key) = $pem{alice} =~ /PRIVATE KEY-----\n(.{40})/;
	unlike($log, qr/\Q$key\E|p\@ss|p%40ss|PRIVATE KEY|planted/, 'no log has a key or a password');
	is(sql('SELECT count(*) FROM hotdash._endpoint_option WHERE proxy_login IS NOT NULL AND position($$p@ss$$::bytea IN proxy_login) > 0'), 0, 'nor the table');
};

done_testing();

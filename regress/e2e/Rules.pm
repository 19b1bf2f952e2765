
=pod

=head1 NAME

Rules - random JsonLogic rules and data, and what the classic operators make of them

=head1 SYNOPSIS

  use Rules;

  srand(1);
  my $data = Rules::random_value(3);
  my $rule = Rules::random_rule(4);
  my ($known, $result) = Rules::evaluate($rule, $data);
  print Rules::json($rule), ' on ', Rules::json($data), ' is ', $known ? Rules::json($result) : 'left open';

=head1 DESCRIPTION

An interpreter of its own, written from what json-logic-js does, with JavaScript's conversions: the differential test
holds hotdash.jsonlogic() in the dialect js against it. It shares nothing with that but the rules' JSON.

A value is a pair [kind, content]: ['z'] null, ['u'] undefined, ['b', 1], ['n', 1.5], ['s', text],
['a', [values]], ['o', {name => value}]. Where the answer hangs on what JSON cannot say (whether two equal arrays are one
and the same, what a string has for a property), or where implementations differ (whether a default counts for an
attribute that is null, what the path [] leads to), evaluate() leaves it open.

=cut

package Rules;

use strict;
use warnings FATAL => 'all';
no warnings 'recursion';
use utf8;

use JSON::PP ();
use POSIX ();

my $string = JSON::PP->new->allow_nonref;
my $infinity = 9**9**9;
my $nan = $infinity - $infinity;

# ---- JavaScript's conversions ----

sub is_nan { return $_[0] != $_[0] }

sub is_infinite { return $_[0] == $infinity || $_[0] == -$infinity }

# Perl keeps whole numbers whole where it can; JavaScript has doubles. Of the decimals that a large one is read from, the
# shortest may be half way to the next; the server does not take that one.
my $whole = 2**53;

sub double
{
	my $double = unpack 'd', pack 'd', $_[0];

	die "left open\n" if abs $double > $whole && !is_infinite($double) && $double != 1e21;
	return $double;
}

# The fewest digits that are read as the same number.
sub shortest
{
	my ($number) = @_;

	foreach my $digits (1 .. 17)
	{
		my $text = sprintf '%.' . ($digits - 1) . 'e', $number;
		return $text if $text == $number;
	}
	die "no digits for $number";
}

sub number_text
{
	my ($number) = @_;

	return 'NaN' if is_nan($number);
	return $number > 0 ? 'Infinity' : '-Infinity' if is_infinite($number);
	return '0' if $number == 0;
	my ($sign, $first, $more, $exponent) = shortest($number) =~ /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/;
	my $digits = $first . ($more // '');
	my $point = $exponent + 1;

	return $sign . $digits . '0' x ($point - length $digits) if $point >= length $digits && $point <= 21;
	return $sign . substr($digits, 0, $point) . '.' . substr($digits, $point) if $point > 0 && $point <= 21;
	return $sign . '0.' . '0' x -$point . $digits if $point > -6 && $point <= 0;
	return $sign . $first . (defined $more ? ".$more" : '') . 'e' . ($exponent < 0 ? '-' : '+') . abs $exponent;
}

sub text
{
	my ($value) = @_;
	my ($kind, $content) = @$value;

	return $content if $kind eq 's';
	return number_text($content) if $kind eq 'n';
	return $content ? 'true' : 'false' if $kind eq 'b';
	return join ',', map { $_->[0] =~ /[zu]/ ? '' : text($_) } @$content if $kind eq 'a';
	return $kind eq 'z' ? 'null' : $kind eq 'u' ? 'undefined' : '[object Object]';
}

my $blank = qr/[\t\n\x0b\f\r \x{a0}\x{feff}\x{2028}\x{2029}\p{Zs}]/;
my $decimal = qr/[+-]?(?:Infinity|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)/;

sub read_number
{
	my ($text) = @_;

	return $text =~ /^-/ ? -$infinity : $infinity if $text =~ /Infinity/;
	return double($text =~ s/^\+//r);
}

sub number
{
	my ($value) = @_;
	my ($kind, $content) = @$value;

	return $content if $kind eq 'n';
	return $kind eq 'z' ? 0 : $kind eq 'b' ? ($content ? 1 : 0) : $nan if $kind !~ /[sao]/;
	my $text = text($value) =~ s/\A$blank+|$blank+\z//gr;
	return 0 if $text eq '';
	return oct lc $text =~ s/^0[oO]/0/r if $text =~ /\A0(?:[xX][0-9a-fA-F]{1,12}|[oO][0-7]{1,12}|[bB][01]{1,12})\z/;
	return $text =~ /\A$decimal\z/ ? read_number($text) : $nan;
}

sub parse_float
{
	my ($value) = @_;
	my $text = text($value) =~ s/\A$blank+//r;

	return $text =~ /\A($decimal)/ ? read_number($1) : $nan;
}

sub truthy
{
	my ($value) = @_;
	my ($kind, $content) = @$value;

	return $kind eq 'b' ? $content : $kind eq 'n' ? $content != 0 && !is_nan($content) : $kind eq 's' ? $content ne ''
	  : $kind eq 'a' ? @$content > 0 : $kind eq 'o';
}

# ---- JavaScript's comparisons ----

sub strictly_same
{
	my ($a, $b) = @_;

	return 0 if $a->[0] ne $b->[0];
	die "left open\n" if $a->[0] =~ /[ao]/;
	return $a->[0] =~ /[zu]/ ? 1 : $a->[0] eq 's' ? $a->[1] eq $b->[1] : $a->[0] eq 'b' ? !$a->[1] == !$b->[1] : $a->[1] == $b->[1];
}

sub loosely_same
{
	my ($a, $b) = @_;
	my $kinds = $a->[0] . $b->[0];

	return $kinds =~ /^[zu]{2}$/ if $kinds =~ /[zu]/;
	return strictly_same($a, $b) if $a->[0] eq $b->[0] || $kinds =~ /^[ao]{2}$/;
	# an array or object beside a string becomes one, beside all else a number
	return text($a) eq text($b) if $kinds =~ /^(?:[ao]s|s[ao])$/;
	return number($a) == number($b);
}

# -1, 0 or 1; undef where a number is none
sub order
{
	my ($a, $b) = map { $_->[0] =~ /[ao]/ ? [ 's', text($_) ] : $_ } @_;

	return $a->[1] cmp $b->[1] if $a->[0] eq 's' && $b->[0] eq 's';
	return number($a) <=> number($b);
}

sub bool { return [ 'b', $_[0] ? 1 : 0 ] }

# ---- operators: arguments that are evaluated, and the data ----

my %operator;

sub arithmetic
{
	my ($code) = @_;

	return sub { die "left open\n" if @_ < 3; return [ 'n', double($code->(number($_[1]), number($_[2]))) ] };
}

# The sign of a zero is not kept everywhere here, so it stays open which infinity this is.
sub quotient
{
	my ($a, $b) = @_;

	die "left open\n" if $b == 0 && $a != 0 && !is_nan($a);
	return $b == 0 ? $nan : $a / $b;
}

sub comparison
{
	my ($holds) = @_;

	return sub {
		my (undef, @values) = @_;
		foreach my $n (1 .. $#values)
		{
			my $order = order(@values[ $n - 1, $n ]);
			return bool(0) if !defined $order || !$holds->($order);
		}
		return bool(1);
	};
}

sub look
{
	my ($data, $path, $default) = @_;

	die "left open\n" if $path->[0] =~ /[ao]/ && text($path) eq '';
	return $data if $path->[0] =~ /[zu]/ || ($path->[0] eq 's' && $path->[1] eq '');
	foreach my $name (split /\./, text($path), -1)
	{
		my ($kind, $content) = @$data;
		my $next;

		return $default if $kind eq 'z';
		die "left open\n" if $kind eq 's' && ($name =~ /^\d+$/ || $name eq 'length') || $kind eq 'a' && $name eq 'length';
		$next = $content->{$name} if $kind eq 'o';
		$next = $content->[$name] if $kind eq 'a' && $name =~ /^(?:0|[1-9]\d{0,8})$/;
		return $default unless defined $next;
		$data = $next;
	}
	die "left open\n" if $data->[0] eq 'z' && $default->[0] ne 'z';
	return $data;
}

sub missing
{
	my ($data, @keys) = @_;

	@keys = @{ $keys[0][1] } if @keys && $keys[0][0] eq 'a';
	return grep { my $found = look($data, $_, ['z']); $found->[0] eq 'z' || ($found->[0] eq 's' && $found->[1] eq '') } @keys;
}

sub fold
{
	my ($code, @numbers) = @_;
	my $result = shift @numbers;

	$result = double($code->($result, $_)) foreach @numbers;
	return [ 'n', $result ];
}

%operator = (
	'==' => sub { bool(loosely_same(@_[ 1, 2 ])) },
	'!=' => sub { bool(!loosely_same(@_[ 1, 2 ])) },
	'===' => sub { bool(strictly_same(@_[ 1, 2 ])) },
	'!==' => sub { bool(!strictly_same(@_[ 1, 2 ])) },
	'<' => comparison(sub { $_[0] < 0 }),
	'<=' => comparison(sub { $_[0] <= 0 }),
	'>' => comparison(sub { $_[0] > 0 }),
	'>=' => comparison(sub { $_[0] >= 0 }),
	'!' => sub { bool(!truthy($_[1])) },
	'!!' => sub { bool(truthy($_[1])) },
	'+' => sub { shift; fold(sub { $_[0] + $_[1] }, 0, map { parse_float($_) } @_) },
	'*' => sub { shift; fold(sub { $_[0] * $_[1] }, map { parse_float($_) } @_) },
	'-' => sub { @_ == 2 ? [ 'n', -number($_[1]) ] : [ 'n', double(number($_[1]) - number($_[2])) ] },
	'/' => arithmetic(\&quotient),
	'%' => arithmetic(sub { $_[1] == 0 || is_nan($_[0]) || is_nan($_[1]) || is_infinite($_[0]) ? $nan : POSIX::fmod($_[0], $_[1]) }),
	min => sub { shift; my @n = map { number($_) } @_; fold(sub { is_nan($_[0]) || is_nan($_[1]) ? $nan : $_[0] < $_[1] ? $_[0] : $_[1] }, @n) },
	max => sub { shift; my @n = map { number($_) } @_; fold(sub { is_nan($_[0]) || is_nan($_[1]) ? $nan : $_[0] > $_[1] ? $_[0] : $_[1] }, @n) },
	cat => sub { shift; [ 's', join '', map { $_->[0] =~ /[zu]/ ? '' : text($_) } @_ ] },
	merge => sub { shift; [ 'a', [ map { $_->[0] eq 'a' ? @{ $_->[1] } : $_ } @_ ] ] },
	in => sub {
		my (undef, $needle, $hay) = @_;

		return bool(index($hay->[1], text($needle)) >= 0) if $hay->[0] eq 's' && $hay->[1] ne '';
		return bool($hay->[0] eq 'a' && grep { strictly_same($needle, $_) } @{ $hay->[1] });
	},
	substr => sub {
		my (undef, $source, $start, $length) = @_;
		my ($text, $from) = (text($source), $start ? number($start) : 0);

		die "left open\n" if $length && ($length->[0] ne 'n' || $length->[1] != int $length->[1]) || is_nan($from) || $from != int $from;
		$from += length $text if $from < 0;
		$text = substr $text, $from < 0 ? 0 : $from > length $text ? length $text : $from;
		return [ 's', $text ] unless $length;
		my $count = $length->[1] < 0 ? length($text) + $length->[1] : $length->[1];
		return [ 's', $count > 0 ? substr($text, 0, $count) : '' ];
	},
	var => sub { look($_[0], $_[1] // ['u'], $_[2] // ['z']) },
	missing => sub { [ 'a', [ missing(@_) ] ] },
	missing_some => sub {
		my ($data, $need, $keys) = @_;
		my @missing = missing($data, $keys);

		return [ 'a', @{ $keys->[1] } - @missing >= number($need) ? [] : \@missing ];
	},
);

# ---- rules ----

sub list { return $_[0][0] eq 'a' ? @{ $_[0][1] } : () }

# Operators that evaluate their arguments themselves; a scope is the data of what is inside of them.
my %special = (
	if => sub {
		my ($data, @rules) = @_;

		while (@rules > 1)
		{
			my ($condition, $then) = splice @rules, 0, 2;
			return apply($then, $data) if truthy(apply($condition, $data));
		}
		return @rules ? apply($rules[0], $data) : ['z'];
	},
	and => sub { my ($data, @rules) = @_; my $value; foreach (@rules) { $value = apply($_, $data); last unless truthy($value) } return $value },
	or => sub { my ($data, @rules) = @_; my $value; foreach (@rules) { $value = apply($_, $data); last if truthy($value) } return $value },
	map => sub { my ($data, $over, $rule) = @_; return [ 'a', [ map { apply($rule, $_) } list(apply($over, $data)) ] ] },
	filter => sub { my ($data, $over, $rule) = @_; return [ 'a', [ grep { truthy(apply($rule, $_)) } list(apply($over, $data)) ] ] },
	all => sub { my ($data, $over, $rule) = @_; my @all = list(apply($over, $data)); return bool(@all && !grep { !truthy(apply($rule, $_)) } @all) },
	some => sub { my ($data, $over, $rule) = @_; return bool(grep { truthy(apply($rule, $_)) } list(apply($over, $data))) },
	none => sub { my ($data, $over, $rule) = @_; return bool(!grep { truthy(apply($rule, $_)) } list(apply($over, $data))) },
	reduce => sub {
		my ($data, $over, $rule, $initial) = @_;
		my $list = apply($over, $data);
		my $value = $initial ? apply($initial, $data) : ['z'];

		$value = apply($rule, [ 'o', { current => $_, accumulator => $value } ]) foreach list($list);
		return $value;
	},
);
$special{'?:'} = $special{if};

sub apply
{
	my ($rule, $data) = @_;
	my ($kind, $content) = @$rule;

	return [ 'a', [ map { apply($_, $data) } @$content ] ] if $kind eq 'a';
	return $rule if $kind ne 'o' || keys %$content != 1;
	my ($name) = keys %$content;
	my @arguments = $content->{$name}[0] eq 'a' ? @{ $content->{$name}[1] } : $content->{$name};
	return $special{$name}->($data, @arguments) if $special{$name};
	die "left open\n" unless $operator{$name};
	return $operator{$name}->($data, map { apply($_, $data) } @arguments);
}

=pod

=head1 FUNCTIONS

=over

=item Rules::evaluate(RULE, DATA)

Whether the answer is known, and the answer.

=cut

sub evaluate
{
	my ($rule, $data) = @_;
	my $result = eval { apply($rule, $data) };

	return (1, $result) if defined $result;
	die $@ if $@ ne "left open\n";
	return (0, undef);
}

=pod

=item Rules::json(VALUE)

As JSON; a number that JSON cannot say is null.

=cut

sub json
{
	my ($value) = @_;
	my ($kind, $content) = @$value;

	return $string->encode($content) if $kind eq 's';
	return is_nan($content) || is_infinite($content) ? 'null' : number_text($content) if $kind eq 'n';
	return $content ? 'true' : 'false' if $kind eq 'b';
	return '[' . join(',', map { json($_) } @$content) . ']' if $kind eq 'a';
	return '{' . join(',', map { $string->encode($_) . ':' . json($content->{$_}) } sort keys %$content) . '}' if $kind eq 'o';
	return $kind eq 'raw' ? $content : 'null';
}

# ---- chance ----

sub one_of { return $_[ rand @_ ] }

my @names = qw(a b c list user name plan age);
my @words = ('', '0', '1', '-1', '2.50', ' 12 ', '12abc', '1e3', '0x1f', '.5', '+7', 'a', 'b', 'abc', 'c', 'name', 'true', 'null', 'Infinity', 'NaN',
	"caf\x{e9}", "\x{65e5}\x{672c}\x{8a9e}", "A\tb\n", '1,2', '[object Object]', 'user@example.com');
my @numbers = (0, 1, 2, 3, -1, 10, 100, 0.1, 0.2, 1.5, -2.75, 1e21, 1e-7, 123456789012, 4294967296, 1 / 3, 5e-324, 1.7976931348623157e308, 9007199254740992);

=pod

=item Rules::random_value(DEPTH), Rules::random_data(DEPTH)

Some value, nested at most so deep; some object whose members have the names that rules ask for.

=cut

sub random_value
{
	my ($depth) = @_;
	my $kind = one_of(qw(z b n n n s s s), $depth > 0 ? qw(a a o) : ());

	return ['z'] if $kind eq 'z';
	return bool(rand(2) < 1) if $kind eq 'b';
	return [ 'n', rand(3) < 1 ? int rand 20 : one_of(@numbers) ] if $kind eq 'n';
	return [ 's', one_of(@words) ] if $kind eq 's';
	return [ 'a', [ map { random_value($depth - 1) } 1 .. rand 4 ] ] if $kind eq 'a';
	return random_data($depth - 1);
}

sub random_data
{
	my ($depth) = @_;

	# two at least: an object of one is a rule where it stands in one
	return [ 'o', { map { $_ => random_value($depth) } grep { rand(3) < 2 } @names, 'x', 'y' } ];
}

sub random_path { return one_of((map { [ 's', $_ ] } @names, 'user.name', 'list.0', 'list.1.a', 'a.b.c', '', 'none', 'current', 'accumulator'), [ 'n', int rand 3 ]) }

sub rule { my ($name, @arguments) = @_; return [ 'o', { $name => @arguments == 1 && rand(2) < 1 && $arguments[0][0] ne 'a' ? $arguments[0] : [ 'a', \@arguments ] } ] }

=pod

=item Rules::random_rule(DEPTH, EXTRA...)

Some rule of the classic operators, nested at most so deep. EXTRA are functions that make a rule from a depth: operators
beyond those, of which evaluate() knows nothing.

=back

=cut

sub random_rule
{
	my ($depth, @extra) = @_;
	my $more = sub { random_rule($depth - 1, @extra) };
	my $many = sub { my ($least, $most) = @_; map { $more->() } 1 .. $least + rand($most - $least + 1) };
	my @keys = map { [ 's', $_ ] } @names;

	return rand(3) < 2 ? rule('var', random_path(), rand(4) < 1 ? random_value(0) : ()) : random_value($depth < 0 ? 0 : 1) if $depth <= 0 || rand(8) < 1;
	return one_of(@extra)->($depth) if @extra && rand(3) < 1;
	return one_of(
		sub { rule(one_of('==', '!=', '===', '!=='), $many->(2, 2)) },
		sub { rule(one_of('<', '<='), $many->(2, 3)) },
		sub { rule(one_of('>', '>='), $many->(2, 2)) },
		sub { rule(one_of('if', '?:'), $many->(1, 5)) },
		sub { rule(one_of('and', 'or'), $many->(1, 3)) },
		sub { rule(one_of('!', '!!'), $more->()) },
		sub { rule('+', $many->(1, 3)) },
		sub { rule('*', $many->(2, 3)) },
		sub { rule('-', $many->(1, 2)) },
		sub { rule(one_of('/', '%'), $many->(2, 2)) },
		sub { rule(one_of('min', 'max'), $many->(1, 3)) },
		sub { rule('cat', $many->(1, 4)) },
		sub { rule('in', $many->(2, 2)) },
		sub { rule('substr', $more->(), map { [ 'n', -4 + int rand 9 ] } 1 .. 1 + rand 2) },
		sub { rule('merge', $many->(1, 3)) },
		sub { rule(one_of('map', 'filter', 'all', 'some', 'none'), $many->(2, 2)) },
		sub { rule('reduce', $many->(2, 3)) },
		sub { rule('missing', map { one_of(@keys) } 1 .. 1 + rand 3) },
		sub { rule('missing_some', [ 'n', int rand 4 ], [ 'a', [ map { one_of(@keys) } 1 .. 1 + rand 3 ] ]) },
		sub { rule('var', $more->()) },
	)->();
}

1;

# Rows scored in the process of a GPU: the CPU's answers within a tolerance, one device a statement, weights that stay there, and what
# becomes of it when the device fails. The stand-in sums in another order than the CPU's row kernels do, so its answers do differ.

use strict;
use warnings;

use GpuTesting;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Socket qw(PF_UNIX SOCK_SEQPACKET pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(time);

my $node = gpu_node('main', "dlent.gpu_hang_timeout = 5s\ndlent.gpu_idle_timeout = 0\nclient_min_messages = warning\n");
order();
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, CASE WHEN i % 11 > 0 THEN i % 13 END AS y, 'level ' || i % 7 AS l,
           (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z, 'class ' || (i * 7919 % 1000) / 300 AS c, sin(i / 100.0) AS r
    FROM generate_series(1, 3000) AS i;
    ANALYZE point;
    SELECT dlent_train('binary', 'SELECT x, y, l, z FROM point', 'z', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_train('ensemble', 'SELECT x, y, l, z FROM point', 'z', '{"epochs": 2}');
    SELECT dlent_train('classes', 'SELECT x, y, l, c FROM point', 'c', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_train('regression', 'SELECT x, y, l, r FROM point', 'r', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_train('tabm', 'SELECT x, y, l, z FROM point', 'z', '{"kind": "tabm", "members": 4, "hidden": [32], "epochs": 2}');
});
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $scored = sub { $node->safe_psql('postgres', 'SELECT sum(rows_scored) FROM dlent.gpus') };
my $models = sub { $node->safe_psql('postgres', 'SELECT sum(models) FROM dlent.gpus') };

sub evaluate
{
    my ($model, $device, $rows) = @_;
    my $source = $rows ? "SELECT * FROM point, generate_series(1, $rows)" : 'SELECT * FROM point';
    return qq{SET dlent.scoring_device = $device; SELECT dlent_evaluate('$model', '$source')};
}

# Whether two reports have the same numbers, nearly.
sub close_to
{
    my ($got, $expected) = @_;
    return 0 unless join(',', sort keys %$got) eq join(',', sort keys %$expected);
    for my $name (keys %$expected) {
        my ($a, $b) = ($got->{$name}, $expected->{$name});
        if (ref $b || !defined $b || $b !~ /^-?[0-9.]+(e-?[0-9]+)?$/i) { next }
        if (abs($a - $b) > 1e-4 * (1 + abs $b)) { diag("$name: $a where the CPU has $b"); return 0 }
    }
    return 1;
}

# ---- evaluation
ok(wait_until('the process is ready', sub { $scored->() eq '0' }), 'nothing is scored there yet');
for my $model ('binary', 'ensemble', 'classes', 'regression', 'tabm') {
    my $before = $scored->();
    my $on_cpu = decode_json($node->safe_psql('postgres', evaluate($model, 'cpu')));
    is($scored->(), $before, "$model: on the CPU by default");
    ok(!exists $on_cpu->{device}, "$model: which is not worth a word");
    my $on_gpu = decode_json($node->safe_psql('postgres', evaluate($model, 'cuda')));
    is(delete $on_gpu->{device}, 'fake:0', "$model: on the device");
    is($scored->() - $before, 3000, "$model: all rows");
    ok(close_to($on_gpu, $on_cpu), "$model: the same metrics");
    my $again = decode_json($node->safe_psql('postgres', evaluate($model, 'cuda')));
    delete $again->{device};
    is_deeply($again, $on_gpu, "$model: and the same bits a second time");
}
is($models->(), '5', 'the weights of each stay on the card');

# ---- many blocks, the last of them not full
{
    my $on_cpu = decode_json($node->safe_psql('postgres', evaluate('ensemble', 'cpu', 9)));
    my $on_gpu = decode_json($node->safe_psql('postgres', evaluate('ensemble', 'cuda', 9)));
    delete $on_gpu->{device};
    is($on_gpu->{rows}, 27000, 'many blocks');
    ok(close_to($on_gpu, $on_cpu), 'the same metrics of all of them');
}

# ---- permutation importance and partial dependence
for my $call (q{dlent_permutation_importance('ensemble', 'point', '{"repeats": 2}')}, q{dlent_partial_dependence('ensemble', 'x', 'point')}) {
    my ($name) = $call =~ /^(\w+)/;
    my $rows = sub { my ($device) = @_; [ map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', "SET dlent.scoring_device = $device; SELECT * FROM $call") ] };
    my $before = $scored->();
    my $on_cpu = $rows->('cpu');
    is($scored->(), $before, "$name: on the CPU by default");
    my $on_gpu = $rows->('cuda');
    cmp_ok($scored->() - $before, '>=', 20000, "$name: on the device");
    my $differ = 0;
    for my $row (0 .. $#$on_cpu) {
        for my $column (0 .. $#{$on_cpu->[$row]}) {
            my ($a, $b) = ($on_gpu->[$row][$column], $on_cpu->[$row][$column]);
            $differ++ if $b =~ /^-?[0-9.]+(e-?[0-9]+)?$/i ? abs($a - $b) > 1e-3 : $a ne $b;
        }
    }
    is(scalar @$on_gpu, scalar @$on_cpu, "$name: as many rows");
    is($differ, 0, "$name: which say the same");
}

# ---- left open: few rows stay, many of a large network go, and the report says why
my $auto = sub { my ($model, $rows) = @_;
    my $report = decode_json($node->safe_psql('postgres', evaluate($model, 'auto', $rows)));
    return "$report->{device}: $report->{routing}{reason}" };
like($auto->('binary'), qr/^cpu: the CPU is quick enough: about 0\.0 s on the CPU, /, 'few rows stay on the CPU');
$node->safe_psql('postgres', q{SELECT dlent_train('large', 'SELECT x, z FROM point LIMIT 300', 'z', '{"preset": "fast", "epochs": 1, "hidden": [1024, 1024], "max_seconds": 20}');
    SELECT dlent_train('huge', 'SELECT x, z FROM point LIMIT 300', 'z', '{"preset": "fast", "epochs": 1, "hidden": [2048, 2048], "max_seconds": 20}')});
like($auto->('large', 20), qr/^fake:0: the GPU is faster: about /, 'many rows of a large network go');
is($node->safe_psql('postgres', q{SET dlent.gpu = off; SET dlent.scoring_device = auto; SELECT dlent_evaluate('binary', 'point') ->> 'device'}), 'cpu', 'not when GPUs are off');
my ($out, $err) = ('', '');
isnt($node->psql('postgres', 'SET dlent.gpu = off; ' . evaluate('binary', 'cuda'), stderr => \$err), 0, 'who asks for one then');
like($err, qr/scoring device "cuda" is not available.*dlent\.gpu is off/s, 'is told');

# ---- a version that is scored in int8 is the CPU's, alone and in a statement with others
$node->safe_psql('postgres', q{SELECT dlent_train('int8', 'SELECT x, y, l, z FROM point', 'z', '{"preset": "fast", "epochs": 2, "score_precision": "int8"}')});
for my $device ('auto', 'cuda') {
    my $before = $scored->();
    my $report = decode_json($node->safe_psql('postgres', evaluate('int8', $device)));
    is($report->{device}, 'cpu', "$device: int8 stays on the CPU");
    is($node->safe_psql('postgres', "SET dlent.scoring_device = $device; SELECT count(*) FROM point WHERE dlent_predict('int8', x, y, l) > 2 OR dlent_predict('binary', x, y, l) > 2"), '0', "$device: so does its statement");
    is($scored->(), $before, "$device: no row is scored there");
}
is(decode_json($node->safe_psql('postgres', evaluate('int8', 'cuda')))->{routing}{reason}, 'the version is scored in int8, which the CPU does', 'and the report says why');

# ---- the device fails: the CPU answers all of it, or nobody does
sub both_policies
{
    my ($what, $pattern, $model, $rows) = @_;
    $model //= 'binary';
    $rows //= 9;
    my $expected = $node->safe_psql('postgres', evaluate($model, 'cpu', $rows));
    is($node->psql('postgres', 'SET dlent.gpu = try; ' . evaluate($model, 'cuda', $rows), stdout => \$out, stderr => \$err), 0, "$what: try goes on");
    my $report = decode_json($out);
    is(delete $report->{device}, 'cpu', "$what: on the CPU");
    is_deeply($report, decode_json($expected), "$what: for all rows");
    like($err, qr/WARNING:  rows are scored on the CPU: $pattern/s, "$what: and says why");
    isnt($node->psql('postgres', 'SET dlent.gpu = require; ' . evaluate($model, 'cuda', $rows), stderr => \$err), 0, "$what: require does not");
    like($err, qr/ERROR:  rows were not scored on a GPU: $pattern/s, "$what: and says why");
    is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, "$what: the server did not restart");
}
sub works_again
{
    my ($what) = @_;
    ok(wait_until('it works', sub { $node->safe_psql('postgres', q{SET dlent.scoring_device = cuda; SELECT dlent_evaluate('binary', 'point') ->> 'device'}) eq 'fake:0' }),
        "$what: the device works again");
}

order('hang');
both_policies('hang', 'the GPU process ended while it scored');
order();
works_again('hang');

for my $policy ('try', 'require') {
    order('slow=100000');
    my $before = $scored->();
    my ($session) = start_session($node, "SET dlent.gpu = $policy; SET dlent.scoring_device = cuda; SELECT dlent_evaluate('binary', 'SELECT * FROM point, generate_series(1, 100)') ->> 'device'");
    ok(wait_until('blocks are scored', sub { $scored->() > $before }), "$policy: blocks are scored");
    order();
    signal_process('KILL', gpu_pid($node));
    my $answer = $session->query('SELECT 1');
    like($answer, $policy eq 'try' ? qr/^cpu\n1$/ : qr/^1$/, "$policy: kill -9 of its process");
    like($session->{stderr}, $policy eq 'try' ? qr/WARNING:  rows are scored on the CPU: the GPU process ended while it scored/
        : qr/ERROR:  rows were not scored on a GPU: the GPU process ended while it scored/, "$policy: and says so");
    $session->quit;
    works_again("$policy: killed");
}

# ---- cancel, while the device works and while the session waits for its turn behind others
order('slow=2000000');
{
    my ($session, $pid) = start_session($node, evaluate('binary', 'cuda', 100));
    ok(wait_until('it waits', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension'") eq '1' }), 'the session waits for the device');
    my $start = time();
    $node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
    like($session->query('SELECT 1'), qr/^1$/, 'and can be cancelled');
    cmp_ok(time() - $start, '<', 1.5, 'before the device answers');
    like($session->{stderr}, qr/canceling statement due to user request/, 'told why');
    unlike($session->{stderr}, qr/WARNING/, 'and nothing else');
    $session->quit;
}
order();
works_again('cancel');

# ---- memory: none for what the first session needs, then none for the weights
for my $limit (1, 3) {
    $node->append_conf('postgresql.conf', "dlent.gpu_memory = ${limit}MB\n");
    $node->restart;
    $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
    both_policies("$limit MB", "out of memory on the GPU.*Jobs may hold $limit MB of \"fake device 0.*HINT:  Raise dlent.gpu_memory", 'binary', 1);
}

# ---- memory: what sessions score by makes way for jobs and for each other, and what is too large is refused
$node->append_conf('postgresql.conf', "dlent.gpu_memory = 12MB\n");
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
for my $model ('binary', 'ensemble', 'classes', 'regression') {
    is($node->safe_psql('postgres', qq{SET dlent.gpu = require; SET dlent.scoring_device = cuda; SELECT dlent_evaluate('$model', 'point') ->> 'device'}), 'fake:0', "$model: fits");
}
cmp_ok($models->(), '>=', 1, 'as long as there is room');
both_policies('memory', 'out of memory on the GPU.*Jobs may hold 12 MB of "fake device 0', 'huge', 1);
is($models->(), '0', 'they made way in vain');
works_again('memory');
is($node->safe_psql('postgres', q{SET dlent.gpu = require; SELECT device FROM dlent_train('trained', 'SELECT x, y, l, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}')}), 'fake:0', 'a training beside them');
$node->append_conf('postgresql.conf', "dlent.gpu_memory = 0\n");
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
works_again('more memory');

# ---- several sessions at once score by one copy of the weights
order('slow=20000');
my @sessions = map { (start_session($node, evaluate('ensemble', 'cuda', 20)))[0] } 1 .. 4;
my %answers;
for my $session (@sessions) {
    $answers{$session->query('SELECT 1')}++;
    $session->quit;
}
is(scalar keys %answers, 1, 'four sessions, one answer');
order();

# ---- who does not keep to the protocol is refused
chdir $node->data_dir or die $!;
my $build = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'dlent'});
sub converse
{
    my (@messages) = @_;
    socket(my $socket, PF_UNIX, SOCK_SEQPACKET, 0) or die $!;
    connect($socket, pack_sockaddr_un('base/pgsql_tmp/pgsql_tmp_dlentgpu_0')) or die $!;
    my $answer = '';
    for my $message ([ 1, qq({"build":"$build"}) ], @messages) {
        my ($type, $body) = @$message;
        send($socket, pack('LSSL', 0x54474c44, 3, $type, length $body) . $body, 0);
        recv($socket, $answer, 65536, 0);
    }
    return $answer;
}
my $key = 'ab' x 32;
like(converse([ 14, '{"slot":0,"rows":1}' ]), qr/a block before there is a model/, 'a block without a model');
like(converse([ 11, '{"key":"xyz","rows":1}' ]), qr/a model whose key is no SHA-256/, 'a key that is none');
like(converse([ 11, qq({"key":"$key","rows":0}) ]), qr/blocks of no rows/, 'blocks of no rows');
is((unpack('LSS', converse([ 11, qq({"key":"$key","rows":10}) ])))[2], 12, 'a model that is not there is wanted');
like(converse([ 11, qq({"key":"$key","rows":10,"description":10,"weights":10}) ]), qr/without its shared memory/, 'weights that did not come along');
like(converse([ 13, '{}' ]), qr/not the session's to send/, 'what is not the session\'s to say');
works_again('nonsense');

$node->stop;
done_testing();

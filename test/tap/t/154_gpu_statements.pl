# Batched scoring calls of a statement on a GPU: all of them or none, the CPU's answers within a tolerance, and what becomes of the
# statement when the device fails before or after it has answered.

use strict;
use warnings;

use GpuTesting;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = gpu_node('main', "dlent.gpu_hang_timeout = 5s\ndlent.gpu_idle_timeout = 0\nclient_min_messages = warning\n");
order();
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, CASE WHEN i % 11 > 0 THEN i % 13 END AS y, 'level ' || i % 7 AS l,
           (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z, 'class ' || (i * 7919 % 1000) / 300 AS c
    FROM generate_series(1, 3000) AS i;
    ANALYZE point;
    SELECT dlent_train('m', 'SELECT x, y, l, z FROM point', 'z', '{"epochs": 2}');
    SELECT dlent_train('c', 'SELECT x, y, l, c FROM point', 'c', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_train('large', 'SELECT x, z FROM point LIMIT 300', 'z', '{"preset": "fast", "epochs": 1, "hidden": [1024, 1024], "max_seconds": 20}');
});
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $scored = sub { $node->safe_psql('postgres', 'SELECT sum(rows_scored) FROM dlent.gpus') };
my $on = sub { my ($device, $statement) = @_; return $node->safe_psql('postgres', "SET dlent.scoring_device = $device; SET extra_float_digits = 1; $statement") };
my $explain = sub { my ($device, $statement, $settings) = @_;
    return $node->safe_psql('postgres', ($settings // '') . "; SET dlent.scoring_device = $device; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $statement") };

sub compare
{
    my ($what, $got, $expected) = @_;
    my @got = split /\n/, $got;
    my @expected = split /\n/, $expected;
    is(scalar @got, scalar @expected, "$what: as many rows");
    my ($far, $other) = (0, 0);
    for my $i (0 .. $#expected) {
        my @a = split /\|/, $got[$i] // '';
        my @b = split /\|/, $expected[$i];
        for my $j (0 .. $#b) {
            my $number = $b[$j] =~ /^-?[0-9.]+(e-?[0-9]+)?$/i;
            ++$far if $number ? abs($a[$j] - $b[$j]) > 1e-5 : $a[$j] ne $b[$j];
            ++$other if $a[$j] ne $b[$j];
        }
    }
    is($far, 0, "$what: the same answers, nearly");
    return $other;
}

# ---- statements whose calls are all batched
my $differ = 0;
for my $case (
    [ 'probabilities', 'SELECT id, dlent_predict(\'m\', x, y, l) FROM point ORDER BY id', 3000 ],
    [ 'classes', 'SELECT id, dlent_classify(\'c\', x, y, l) FROM point ORDER BY id', 3000 ],
    [ 'a record', 'SELECT id, dlent_predict(\'m\', point) FROM point ORDER BY id', 3000 ],
    [ 'an aggregate', 'SELECT l, avg(dlent_predict(\'m\', x, y, l)) FROM point GROUP BY l ORDER BY l', 3000 ],
    [ 'two models', 'SELECT id, dlent_predict(\'m\', x, y, l), dlent_classify(\'c\', x, y, l) FROM point ORDER BY id', 6000 ],
    [ 'two nodes', 'SELECT id, dlent_predict(\'m\', x, y, l) AS p FROM point UNION ALL SELECT -id, dlent_predict(\'m\', x, y, l) FROM point ORDER BY id, p', 6000 ],
    [ 'a subquery', 'SELECT id FROM point WHERE id < 20 AND x / 100 < (SELECT max(dlent_predict(\'m\', x, y, l)) FROM point) ORDER BY id', 3000 ],
) {
    my ($what, $statement, $rows) = @$case;
    my $on_cpu = $on->('cpu', $statement);
    my $before = $scored->();
    my $on_gpu = $on->('cuda', $statement);
    is($scored->() - $before, $rows, "$what: on the device");
    $differ += compare($what, $on_gpu, $on_cpu);
    is($on->('cuda', $statement), $on_gpu, "$what: the same bits a second time");
}
cmp_ok($differ, '>', 0, 'the device does round in its own way, so what is mixed would show');

# ---- what EXPLAIN says
my $statement = q{SELECT dlent_predict('m', x, y, l) FROM point};
like($explain->('cpu', $statement), qr/Device: cpu/, 'EXPLAIN: the CPU');
like($explain->('cuda', $statement), qr/Device: fake:0/, 'EXPLAIN: the device');
like($node->safe_psql('postgres', "SET dlent.scoring_device = cuda; EXPLAIN $statement"), qr/Device: gpu/, 'EXPLAIN: before one is chosen');
like($explain->('auto', $statement), qr/Device: cpu/, 'left open, few rows stay on the CPU');
like($explain->('auto', q{SELECT dlent_predict('large', x) FROM point, generate_series(1, 20)}), qr/Device: fake:0/, 'many rows of a large network go');

# ---- one process: workers would have devices of their own
my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2';
like($explain->('cpu', $statement, $parallel), qr/Workers Launched: [12]/, 'a parallel plan');
my $alone = $explain->('cuda', $statement, $parallel);
like($alone, qr/Workers Launched: 0/, 'on a GPU without workers');
like($alone, qr/Device: fake:0/, 'on a GPU');

# ---- calls that cannot be batched keep all of the statement on the CPU
my $mixed = q{SELECT id, dlent_predict('m', x, y, l), CASE WHEN id % 2 = 0 THEN dlent_predict('m', x + 1, y, l) END FROM point ORDER BY id};
is($on->('cuda', $mixed), $on->('cpu', $mixed), 'a statement with a call that is not batched is the CPU\'s');
is($on->('cuda', "SET dlent.batch = off; $statement"), $on->('cpu', $statement), 'and one without batches');
is($node->safe_psql('postgres', "SET dlent.scoring_device = cuda; SELECT count(*) FROM point WHERE dlent_predict('m', x, y, l) IS DISTINCT FROM CASE WHEN id > 0 THEN dlent_predict('m', x, y, l) END"),
    '0', 'so a row has one answer in a statement');

# ---- a failure before anything was answered: the CPU does all of it, or nobody
my $ordered = q{SELECT id, dlent_predict('m', x, y, l) FROM point ORDER BY id};
my $expected = $on->('cpu', $ordered);
my ($out, $err) = ('', '');
sub both_policies
{
    my ($what, $pattern) = @_;
    is($node->psql('postgres', "SET extra_float_digits = 1; SET dlent.gpu = try; SET dlent.scoring_device = cuda; $ordered", stdout => \$out, stderr => \$err), 0, "$what: try goes on");
    is($out, $expected, "$what: on the CPU, all of it");
    is(() = $err =~ /WARNING:  rows are scored on the CPU: $pattern/g, 1, "$what: and says why, once");
    isnt($node->psql('postgres', "SET dlent.gpu = require; SET dlent.scoring_device = cuda; $ordered", stdout => \$out, stderr => \$err), 0, "$what: require does not");
    is($out, '', "$what: nothing was returned");
    like($err, qr/ERROR:  rows were not scored on a GPU: $pattern/, "$what: and says why");
}
sub works_again
{
    my ($what) = @_;
    ok(wait_until('it works', sub { $node->safe_psql('postgres', "SET dlent.scoring_device = cuda; EXPLAIN (ANALYZE) $statement") =~ /Device: fake:0/ }), "$what: the device works again");
}
order('hang');
both_policies('hang', 'the GPU process ended while it scored');
order();
works_again('hang');

# ---- a failure after rows were returned: an error, whatever dlent.gpu says
{
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    $session->query(qq{SET dlent.gpu = try; SET dlent.scoring_device = cuda; BEGIN; DECLARE c CURSOR FOR $statement});
    my @first = split /\n/, $session->query('FETCH 10 FROM c');
    is(scalar @first, 10, 'rows come');
    signal_process('KILL', gpu_pid($node));
    $session->query('FETCH ALL FROM c');
    like($session->{stderr}, qr/ERROR:  rows were not scored on a GPU: the GPU process ended while it scored/, 'then the process dies');
    $session->{stderr} = '';
    is($session->query('ROLLBACK; SELECT 1'), '1', 'and the session goes on');
    $session->quit;
}
works_again('killed');

# ---- cancel
order('slow=2000000');
{
    my ($session, $pid) = start_session($node, "SET dlent.scoring_device = cuda; $statement");
    ok(wait_until('it waits', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension'") eq '1' }), 'the session waits for the device');
    my $start = time();
    $node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
    like($session->query('SELECT 1'), qr/^1$/, 'and can be cancelled');
    cmp_ok(time() - $start, '<', 1.5, 'before the device answers');
    like($session->{stderr}, qr/canceling statement due to user request/, 'told why');
    $session->quit;
}
order();
works_again('cancel');

# ---- a rollout is the CPU's
$node->safe_psql('postgres', q{
    SELECT dlent_train('m', 'SELECT x, y, l, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "promote": false}');
    SELECT dlent_deploy('m', 2, '{"mode": "shadow"}');
});
like($explain->('cuda', $statement), qr/Device: cpu/, 'a model with a rollout is the CPU\'s');

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server did not restart');
$node->stop;
done_testing();

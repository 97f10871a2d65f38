# One network on several GPUs, each of which computes a share of every batch: to the same weights on all of them, whatever becomes of one.

use strict;
use warnings;

use GpuTesting qw(:DEFAULT create_points gpus gpus_are weights details);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = gpu_node('main', "shared_preload_libraries = 'dlent'\ndlent.gpu_hang_timeout = 2s\ndlent.gpu_jobs = 1\nclient_min_messages = warning\n");
order('devices=3');
$node->start;
create_points($node);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

my $one = '"preset": "fast", "members": 1, "hidden": [16], "numeric_embedding": "none", "validation": {"fraction": 0.25}';
# no unit is dropped and no step has a size of its own: what differs is rounding
my $smooth = qq($one, "epochs": 4, "dropout": 0, "optimizer": "sgd");

sub train_sql
{
    my ($model, $ranks, $options, $device) = @_;
    $device //= 'cuda';
    return "SELECT device FROM dlent_train('$model', 'point', 'z', '{$options, \"device\": \"$device\", \"data_parallel\": $ranks}')";
}
# how far the scores of two models are apart at most
sub apart
{
    return $node->safe_psql('postgres', "SELECT max(abs(dlent_predict('$_[0]', p) - dlent_predict('$_[1]', p))) FROM point AS p");
}
sub error_of { my ($sql) = @_; my ($out, $err) = ('', ''); $node->psql('postgres', $sql, stdout => \$out, stderr => \$err); return ($out, $err) }

# ---- what it computes
gpus_are($node, 'all run', 'state', 'ready,ready,ready');
is($node->safe_psql('postgres', train_sql('alone', 1, $smooth)), 'fake:0', 'one GPU');
is($node->safe_psql('postgres', train_sql('two', 2, $smooth)), 'fake:0,fake:1', 'two GPUs for one network');
is($node->safe_psql('postgres', train_sql('three', 3, $smooth)), 'fake:0,fake:1,fake:2', 'three');
cmp_ok(apart('alone', $_), '<', 1e-4, "$_ give what one gives, up to rounding") for 'two', 'three';
isnt(weights($node, 'two'), weights($node, 'alone'), 'but for rounding');
$node->safe_psql('postgres', train_sql('again', 2, $smooth));
is(weights($node, 'again'), weights($node, 'two'), 'and the same bytes when asked again');
my $both = qr/^\[\{"gpu": 0, "networks": ([0-9]+)\}, \{"gpu": 1, "networks": \1\}\]$/;
like(details($node, 'two', q{#>> '{device,gpus}'}), $both, 'the version says who took part');
is(details($node, 'two', q{#>> '{device,gpus_a_network}'}), '2', 'and that they did so together');
is(details($node, 'two', q{#>> '{routing,data_parallel,pays}'}), 'false', 'and what that was thought to bring');
like((error_of('SET client_min_messages = notice; ' . train_sql('told', 2, $smooth)))[1],
    qr/NOTICE:  2 GPUs a network are no faster than one\nDETAIL:  By estimate, a step takes about [0-9.]+ ms on one GPU and [0-9.]+ ms on 2/, 'which is said');
my $heavy = qq($one, "epochs": 1, "dropout": 0.3);
$node->safe_psql('postgres', train_sql($_, 3, $heavy)) for 'dropped', 'dropped_again';
is(weights($node, 'dropped_again'), weights($node, 'dropped'), 'units are dropped alike in every run');

# ---- networks after each other, where there are not cards for two at a time
is($node->safe_psql('postgres', train_sql('folds', 2, '"epochs": 2, "hidden": [16]')), 'fake:0,fake:1', 'folds on two cards each');
like(details($node, 'folds', q{#>> '{device,gpus}'}), $both, 'one after another');

# ---- what cannot be
for my $case ([ 2, 'cpu', qr/option "data_parallel" does not go with device "cpu"/ ], [ 2, 'cuda:1', qr/does not go with device "cuda:1"/ ],
    [ 0, 'cuda', qr/data_parallel/ ], [ 17, 'cuda', qr/data_parallel/ ]) {
    like((error_of(train_sql('never', $case->[0], $smooth, $case->[1])))[1], qr/ERROR:.*$case->[2]/s, "$case->[0] on $case->[1]");
}
my ($out, $err) = error_of(train_sql('too_few', 4, $smooth));
is($out, 'cpu', 'fewer cards than are asked for: the CPU');
like($err, qr/WARNING:  the model is trained on the CPU: 4 GPUs are to train each network together, and 3 GPUs are there/, 'with a warning');
like((error_of('SET dlent.gpu = require; ' . train_sql('never', 4, $smooth)))[1], qr/ERROR:  the model was not trained on a GPU: 4 GPUs .*HINT:  Lower "data_parallel"\./s, 'or an error');
is($node->safe_psql('postgres', train_sql('by_default', 2, $smooth, 'auto')), 'fake:0,fake:1', 'who wants two GPUs wants GPUs');

# ---- a cancel, and the end of a session, leave nothing behind
my $long = qq($one, "epochs": 100000, "patience": 100000);
order('devices=3', 'slow=3000');
for my $end ('pg_cancel_backend', 'pg_terminate_backend') {
    my ($session, $pid) = start_session($node, train_sql('long', 3, $long));
    gpus_are($node, "$end: all three at work", 'jobs', '1,1,1');
    my $start = time();
    $node->safe_psql('postgres', "SELECT $end($pid)");
    gpus_are($node, "$end: and none afterwards", 'jobs + waiting', '0,0,0');
    cmp_ok(time() - $start, '<', 2, "$end: soon");
    if ($end eq 'pg_cancel_backend') {
        like($session->query('SELECT 1'), qr/^1$/, 'the session goes on');
        like($session->{stderr}, qr/canceling statement due to user request/, 'told why');
        $session->quit;
    } else {
        $session->{run}->kill_kill;
    }
}

# ---- sessions that want the same cards, of which each has room for one job, take turns
order('devices=3', 'slow=200');
my @sessions = map { (start_session($node, train_sql("turn_$_", 2 + $_ % 2, qq($smooth, "seed": 7))))[0] } 0 .. 3;
push @sessions, (start_session($node, train_sql('turn_single', 1, qq($smooth, "seed": 7))))[0];
for my $i (0 .. $#sessions) {
    like($sessions[$i]->query('SELECT 1'), qr/^fake:.*\n1$/, "session $i of five ends");
    is($sessions[$i]->{stderr}, '', "session $i: without a warning");
    $sessions[$i]->quit;
}
is(weights($node, 'turn_2'), weights($node, 'turn_0'), 'to the same bytes whatever the others do');
is(weights($node, 'turn_3'), weights($node, 'turn_1'), 'with three as well');

# ---- a rank that is killed: two others take over; with three of three, the CPU, or an error
order('devices=3', 'slow=50000');
for my $policy ('try', 'require') {
    gpus_are($node, "$policy: all run", 'state', 'ready,ready,ready');
    my ($victim) = start_session($node, "SET dlent.gpu = $policy; " . train_sql("killed_$policy", 2, $smooth));
    gpus_are($node, "$policy: two at work", 'jobs', '1,1,0');
    my $survivor = gpu_pid($node, 0);
    order('devices=3');
    signal_process('KILL', gpu_pid($node, 1));
    like($victim->query('SELECT 1'), qr/^fake:0,fake:2\n1$/, "$policy: kill -9 of one of two");
    like($victim->{stderr}, qr/WARNING:  the training goes on without fake:1: the GPU process ended while it trained/, "$policy: a warning says which");
    $victim->quit;
    is(weights($node, "killed_$policy"), weights($node, 'two'), "$policy: the same bytes");
    is(gpu_pid($node, 0), $survivor, "$policy: the other process goes on");
    gpus_are($node, "$policy: no job is left", 'jobs + waiting', '0,0,0');
    order('devices=3', 'slow=50000');
}
for my $policy ('try', 'require') {
    gpus_are($node, "$policy: all run again", 'state', 'ready,ready,ready');
    my ($victim) = start_session($node, "SET dlent.gpu = $policy; " . train_sql("lost_$policy", 3, $smooth));
    gpus_are($node, "$policy: three at work", 'jobs', '1,1,1');
    signal_process('KILL', gpu_pid($node, 0));
    like($victim->query('SELECT 1'), $policy eq 'try' ? qr/^cpu\n1$/ : qr/^1$/, "$policy: kill -9 of the first of three");
    like($victim->{stderr}, $policy eq 'try' ? qr/WARNING:  the model is trained on the CPU: the GPU process ended/
        : qr/ERROR:  the model was not trained on a GPU: the GPU process ended/, "$policy: which is said");
    $victim->quit;
    gpus_are($node, "$policy: no job is left of three", 'jobs + waiting', '0,0,0');
}

# ---- a card that hangs is ended by its watchdog, and those that wait for it are not
gpus_are($node, 'all run before one hangs', 'state', 'ready,ready,ready');
my @before = map { gpu_pid($node, $_) } 0, 2;
order('devices=3', 'hang=1');
($out, $err) = error_of(train_sql('hung', 2, $smooth));
is($out, 'fake:0,fake:2', 'a card that hangs');
like($err, qr/WARNING:  the training goes on without fake:1: the GPU process ended while it trained/, 'is found out');
is_deeply([ map { gpu_pid($node, $_) } 0, 2 ], \@before, 'and none of the others is blamed');
is(weights($node, 'hung'), weights($node, 'two'), 'the same bytes');

# ---- the time limit
order('devices=3', 'slow=1000');
gpus_are($node, 'all run at last', 'state', 'ready,ready,ready');
my $start = time();
is($node->safe_psql('postgres', train_sql('limited', 3, qq($long, "max_seconds": 1.5))), 'fake:0,fake:1,fake:2', 'a training with a time limit');
cmp_ok(time() - $start, '<', 10, 'keeps to it');
is(details($node, 'limited', q{#>> '{stop_reasons,0}'}), 'time_limit', 'and says so');

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server did not restart');
gpus_are($node, 'no memory is held', 'memory_used', '0,0,0');
$node->stop;
done_testing();

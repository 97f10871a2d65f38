# The networks of one model on several GPUs: to the same bytes as on one, whatever else the cards do, and whatever becomes of them.

use strict;
use warnings;

use GpuTesting qw(:DEFAULT create_points gpus gpus_are weights details);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = gpu_node('main', "shared_preload_libraries = 'dlent'\ndlent.gpu_hang_timeout = 2s\nclient_min_messages = warning\n");
order('devices=3');
$node->start;
create_points($node);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

sub train_sql
{
    my ($model, $device, $options) = @_;
    return "SELECT device FROM dlent_train('$model', 'point', 'z', '{$options, \"device\": \"$device\"}')";
}

# ---- members, folds, families and refits: every card takes part, and nothing else is different
gpus_are($node, 'all run', 'state', 'ready,ready,ready');
for my $case (
    [ 'folds', '"epochs": 3' ],
    [ 'members', '"epochs": 3, "members": 4, "hidden": [16], "validation": {"fraction": 0.25}' ],
    [ 'tabm', '"kind": "tabm", "members": 4, "hidden": [32], "epochs": 2' ],
) {
    my ($name, $options) = @$case;
    is($node->safe_psql('postgres', train_sql("one_$name", 'cuda:1', $options)), 'fake:1', "$name: one GPU that is named");
    my @before = split /,/, gpus($node, 'jobs_done');
    my $device = $node->safe_psql('postgres', train_sql("all_$name", 'cuda', $options));
    my @after = split /,/, gpus($node, 'jobs_done');
    my @did = map { $after[$_] - $before[$_] } 0 .. 2;
    is(weights($node, "all_$name"), weights($node, "one_$name"), "$name: the same bytes");
    is($device, join(',', map { "fake:$_" } grep { $did[$_] > 0 } 0 .. 2), "$name: the version says where they come from");
    is(details($node, "all_$name", q{#>> '{device,gpus}'}), '[' . join(', ', map { qq({"gpu": $_, "networks": $did[$_]}) } grep { $did[$_] > 0 } 0 .. 2) . ']',
        "$name: and how many from where");
    next if $name eq 'tabm';
    is($device, 'fake:0,fake:1,fake:2', "$name: three GPUs");
    is(details($node, "all_$name", q{#>> '{routing,gpus}'}), '3', "$name: details say so");
    like(details($node, "all_$name", q{#>> '{routing,gpus_reason}'}), qr/^\d+ networks can be trained beside each other, and 3 of 3 GPUs had no other training/, "$name: and why");
}
is(details($node, 'one_folds', q{#>> '{routing,gpus_reason}'}), 'this GPU was asked for', 'so does one that is named');

# ---- left open, several cards count in the decision
my $large = '"epochs": 100000, "hidden": [512, 512], "batch_size": 1024, "max_seconds": 1';
is($node->safe_psql('postgres', train_sql('auto', 'auto', $large)), 'fake:0,fake:1,fake:2', 'a large training goes to all of them');
like(details($node, 'auto', q{#>> '{routing,reason}'}), qr/^the GPU is faster: about .* on the CPU, .* on 3 GPUs/, 'and says why');

# ---- networks side by side; others come first where they are alone
my $long = '"epochs": 100000, "patience": 100000, "hidden": [16]';
my $fast = '"preset": "fast", "members": 1, "hidden": [16], "numeric_embedding": "none", "validation": {"method": "none"}';
order('devices=3', 'slow=3000');
my ($session, $pid) = start_session($node, train_sql('long', 'cuda', $long));
gpus_are($node, 'a network on each card', 'jobs', '1,1,1');
is($node->safe_psql('postgres', q{SELECT phase, members FROM dlent.progress}), 'training|5', 'progress shows one training');
my ($other, $other_pid) = start_session($node, train_sql('other', 'cuda', qq($fast, "epochs": 100000)));
gpus_are($node, 'another session shares one card', 'jobs', '2,1,1');

# ---- a cancel ends what runs anywhere
my $start = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
like($session->query('SELECT 1'), qr/^1$/, 'a session with several jobs can be cancelled');
cmp_ok(time() - $start, '<', 5, 'soon');
like($session->{stderr}, qr/canceling statement due to user request/, 'told why');
unlike($session->{stderr}, qr/WARNING/, 'and nothing else');
gpus_are($node, 'its jobs are gone, the other one stays', 'jobs', '1,0,0');
$session->quit;

# ---- a card that is busy is left alone by who has others
order('devices=3');
is($node->safe_psql('postgres', train_sql('beside', 'cuda', '"epochs": 3')), 'fake:1,fake:2', 'a model spreads over the idle cards only');
is(weights($node, 'beside'), weights($node, 'one_folds'), 'to the same bytes');
like(details($node, 'beside', q{#>> '{routing,gpus_reason}'}), qr/and 2 of 3 GPUs had no other training/, 'and says why');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($other_pid)");
gpus_are($node, 'a session that dies takes its job along', 'jobs', '0,0,0');
$other->{run}->kill_kill;

# ---- cards that are left take over from one that is killed, or hangs; to the same bytes, also where a GPU is required
for my $policy ('try', 'require') {
    order('devices=3', 'slow=4000');
    my ($victim) = start_session($node, "SET dlent.gpu = $policy; " . train_sql("killed_$policy", 'cuda', '"epochs": 3'));
    gpus_are($node, "$policy: all are at work", 'jobs', '1,1,1');
    order('devices=3');
    signal_process('KILL', gpu_pid($node, 1));
    like($victim->query('SELECT 1'), qr/^fake:0,(fake:1,)?fake:2\n1$/, "$policy: kill -9 of one process");
    like($victim->{stderr}, qr/WARNING:  the training goes on without fake:1: the GPU process ended while it trained/, "$policy: a warning says so");
    unlike($victim->{stderr}, qr/CPU/, "$policy: and nothing of the CPU");
    $victim->quit;
    is(weights($node, "killed_$policy"), weights($node, 'one_folds'), "$policy: the same bytes");
    like(details($node, "killed_$policy", q{#>> '{routing,gpus_reason}'}), qr/; fake:1 failed$/, "$policy: the version remembers");
    gpus_are($node, "$policy: it is there again, and no job is left", 'jobs', '0,0,0');
}
order('devices=3', 'hang=2');
my ($out, $err) = ('', '');
$node->psql('postgres', train_sql('hung', 'cuda', '"epochs": 3'), stdout => \$out, stderr => \$err);
is($out, 'fake:0,fake:1', 'a card that hangs');
like($err, qr/WARNING:  the training goes on without fake:2: the GPU process ended while it trained/, 'is ended by its watchdog, and a warning says so');
is(weights($node, 'hung'), weights($node, 'one_folds'), 'the same bytes');

# ---- what fails everywhere: at most two cards for one network, then the CPU or an error
gpus_are($node, 'all run again', 'state', 'ready,ready,ready');
order('devices=3', 'hang');
my $third = gpu_pid($node, 2);
$node->psql('postgres', train_sql('poison', 'cuda', qq($fast, "epochs": 2)), stdout => \$out, stderr => \$err);
is($out, 'cpu', 'a network that two cards have failed with is trained on the CPU');
like($err, qr/WARNING:  the training goes on without fake:0: .*WARNING:  the model is trained on the CPU: the GPU process ended/s, 'which is said');
is(gpu_pid($node, 2), $third, 'the third was not tried');
order('devices=3', 'slow=4000');
for my $policy ('try', 'require') {
    gpus_are($node, "$policy: all run again", 'state', 'ready,ready,ready');
    my ($victim) = start_session($node, "SET dlent.gpu = $policy; " . train_sql("none_$policy", 'cuda', '"epochs": 3'));
    gpus_are($node, "$policy: all are at work", 'jobs', '1,1,1');
    signal_process('KILL', map { gpu_pid($node, $_) } 0 .. 2);
    like($victim->query('SELECT 1'), $policy eq 'try' ? qr/^cpu\n1$/ : qr/^1$/, "$policy: all processes are killed");
    like($victim->{stderr}, $policy eq 'try' ? qr/WARNING:  the model is trained on the CPU: the GPU process ended/
        : qr/ERROR:  the model was not trained on a GPU: the GPU process ended/, "$policy: which is said");
    $victim->quit;
}
is(weights($node, 'none_try'), weights($node, 'one_folds'), 'the CPU did it all again');

# ---- a process that does not answer is waited for only so long, also where nobody ends it: its supervisor stands still with it
gpus_are($node, 'all run before one is stopped', 'state', 'ready,ready,ready');
my $stopped = gpu_pid($node, 2);
my @standing = (parent_of($stopped), $stopped);
order('devices=3');
signal_process('STOP', @standing);
$node->psql('postgres', train_sql('stopped', 'cuda', '"epochs": 3'), stdout => \$out, stderr => \$err);
signal_process('CONT', @standing);
is($out, 'fake:0,fake:1', 'the others train');
like($err, qr/WARNING:  the training goes on without GPU 2: the process of GPU 2 does not answer/, 'and a warning says so');
is(weights($node, 'stopped'), weights($node, 'one_folds'), 'to the same bytes');
order('devices=3', 'slow=4000');

# ---- one that is named stays alone
gpus_are($node, 'all run once more', 'state', 'ready,ready,ready');
($session) = start_session($node, "SET dlent.gpu = require; " . train_sql('named', 'cuda:1', $long));
gpus_are($node, 'one works', 'jobs', '0,1,0');
signal_process('KILL', gpu_pid($node, 1));
like($session->query('SELECT 1'), qr/^1$/, 'its process is killed');
like($session->{stderr}, qr/ERROR:  the model was not trained on a GPU: the GPU process ended/, 'and no other card is taken');
$session->quit;

# ---- the time limit is of the whole model
gpus_are($node, 'all run at last', 'state', 'ready,ready,ready');
$start = time();
is($node->safe_psql('postgres', train_sql('limited', 'cuda', qq($long, "max_seconds": 2))), 'fake:0,fake:1,fake:2', 'a training with a time limit');
cmp_ok(time() - $start, '<', 15, 'keeps to it');
is(details($node, 'limited', q{#>> '{stop_reasons,0}'}), 'time_limit', 'and says so');

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server did not restart');
gpus_are($node, 'no memory is held', 'memory_used', '0,0,0');
$node->stop;
done_testing();

# Training in the process of a GPU: the same models, several jobs, cancel, and what the process holds.

use strict;
use warnings;

use GpuTesting;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = gpu_node('main', "dlent.gpu_jobs = 2\n");
order();
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, 'level ' || i % 7 AS l, 1 + i % 3 AS w,
           (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z, 'class ' || (i * 7919 % 1000) / 300 AS c, sin(i / 100.0) AS r
    FROM generate_series(1, 2000) AS i;
    UPDATE point SET z = NULL, c = NULL, r = NULL WHERE id % 17 = 0;
});

# ---- the device, as people see it; asking starts what is needed
is($node->safe_psql('postgres', q{SELECT gpu, name, kind, memory_bytes, driver, detail FROM dlent.gpus}),
    '0|fake device 0 (CPU stand-in for tests)|fake|1073741824|none|', 'the stand-in says what it is');
ok(wait_until('the process is ready', sub { $node->safe_psql('postgres', q{SELECT state FROM dlent.gpus}) eq 'ready' }), 'its process runs');
is($node->safe_psql('postgres', q{SET dlent.gpu = off; SELECT count(*) FROM dlent.gpus}), '0', 'off is off');
my $gpud = gpu_pid($node);

# ---- the same rows, options and seed give the same bytes through the process as without it
my $weights = q{SELECT md5(string_agg(w.data, ''::bytea ORDER BY w.sequence)) FROM dlent.weight_chunk AS w
    JOIN dlent.version AS v ON v.id = w.version_id JOIN dlent.model AS m ON m.id = v.model_id WHERE m.name};
for my $case (
    [ 'binary', 'SELECT x, y, l, z FROM point', 'z', '"preset": "fast", "epochs": 3' ],
    [ 'ensemble', 'SELECT x, y, l, z FROM point', 'z', '"epochs": 3' ],
    [ 'classes', 'SELECT x, y, l, c FROM point', 'c', '"preset": "fast", "epochs": 3, "class_weight": "balanced"' ],
    [ 'regression', 'SELECT x, y, l, r, w FROM point', 'r', '"preset": "fast", "epochs": 3, "weight_column": "w"' ],
    [ 'tabm', 'SELECT x, y, l, z FROM point', 'z', '"kind": "tabm", "members": 4, "hidden": [32], "epochs": 2' ],
    [ 'periodic', 'SELECT x, y, z FROM point', 'z', '"preset": "fast", "epochs": 2, "numeric_embedding": "periodic", "optimizer": "sgd"' ],
) {
    my ($name, $source, $target, $options) = @$case;
    my $train = sub { my ($model, $device) = @_;
        return $node->safe_psql('postgres', "SELECT device, metrics FROM dlent_train('$model', '$source', '$target', '{$options, \"device\": \"$device\"}')") };
    my $on_cpu = $train->("cpu_$name", 'cpu');
    my $on_gpu = $train->("gpu_$name", 'cuda');
    like($on_cpu, qr/^cpu\|/, "$name: on the CPU");
    like($on_gpu, qr/^fake:0\|/, "$name: on the device");
    is($on_gpu =~ s/^[^|]*//r, $on_cpu =~ s/^[^|]*//r, "$name: the same metrics");
    is($node->safe_psql('postgres', "$weights = 'gpu_$name'"), $node->safe_psql('postgres', "$weights = 'cpu_$name'"), "$name: the same weights");
}
is($node->safe_psql('postgres', q{SELECT details -> 'device' ->> 'name' FROM dlent.versions WHERE model = 'gpu_binary'}),
    'fake device 0 (CPU stand-in for tests)', 'the version knows where it was made');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dlent.training_log WHERE model = 'gpu_binary'}),
    $node->safe_psql('postgres', q{SELECT count(*) FROM dlent.training_log WHERE model = 'cpu_binary'}), 'and has its log');
is($node->safe_psql('postgres', q{SELECT device FROM dlent_train('one', 'SELECT x, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda:0", "precision": "tf32"}')}),
    'fake:0', 'a device can be named');

# ---- left open, a small training stays, a large one goes, and the version says why
my $auto = sub { my ($options) = @_;
    my ($device, $version) = split /\|/, $node->safe_psql('postgres', "SELECT device, version FROM dlent_train('auto', 'SELECT x, y, l, z FROM point', 'z', '{$options}')");
    return "$device: " . $node->safe_psql('postgres', "SELECT details -> 'routing' ->> 'reason' FROM dlent.versions WHERE model = 'auto' AND version = $version") };
like($auto->('"preset": "fast", "epochs": 2'), qr/^cpu: the CPU is quick enough: about [0-9.]+ s on the CPU, /, 'a small training stays on the CPU');
my $large = '"preset": "fast", "epochs": 100000, "hidden": [1024, 1024], "batch_size": 1024, "max_seconds": 1';
like($auto->($large), qr/^fake:0: the GPU is faster: about /, 'a large one goes to the GPU');
is($node->safe_psql('postgres', q{SET dlent.gpu = off; SELECT device FROM dlent_train('auto', 'SELECT x, z FROM point', 'z', '{"preset": "fast", "epochs": 1}')}), 'cpu', 'not when GPUs are off');

# ---- errors of the training itself are what they are anywhere, and no reason to train twice
my ($out, $err) = ('', '');
$node->psql('postgres', q{SELECT dlent_train('bad', 'SELECT x * 1e30 AS x, r FROM point', 'r', '{"preset": "fast", "learning_rate": 10, "optimizer": "sgd", "hidden": [2000], "activation": "relu", "device": "cuda"}')},
    stdout => \$out, stderr => \$err);
unlike($err, qr/trained on the CPU/, 'a training that goes wrong is not the device\'s fault');
for my $device ('cuda:7') {
    $node->psql('postgres', qq{SET dlent.gpu = require; SELECT dlent_train('none', 'point', 'z', '{"device": "$device"}')}, stderr => \$err);
    like($err, qr/there is no GPU 7/, 'a device that is not there');
}

# ---- the process holds nothing of the server's
my @open = map { readlink($_) // '' } glob("/proc/$gpud/fd/*");
my @foreign = grep { m{^/} && !m{^/dev/null$} && !m{/log/|\.log$} } @open;
is("@foreign", '', 'no file of the server is open in it');
is(gpu_pid($node), $gpud, 'all that was one process');
open my $maps, '<', "/proc/$gpud/maps" or die $!;
is(scalar(grep { /memfd:dlent/ } <$maps>), 0, 'and no image is left in it');

# ---- two jobs at once, a third that waits, and cancels
order('slow=3000');
my $long = sub { "SELECT dlent_train('$_[0]', 'SELECT x, y, l, z FROM point', 'z', '{\"preset\": \"fast\", \"epochs\": 100000, \"device\": \"cuda\"}')" };
my ($first, $first_pid) = start_session($node, $long->('first'));
my ($second, $second_pid) = start_session($node, $long->('second'));
ok(wait_until('two jobs run', sub { $node->safe_psql('postgres', q{SELECT jobs FROM dlent.gpus}) eq '2' }), 'two jobs at once');
my ($third, $third_pid) = start_session($node, $long->('third'));
ok(wait_until('one waits', sub { $node->safe_psql('postgres', q{SELECT jobs, waiting FROM dlent.gpus}) eq '2|1' }), 'the third waits for its turn');
cmp_ok($node->safe_psql('postgres', q{SELECT memory_used FROM dlent.gpus}), '>', 0, 'jobs hold memory');
my $start = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($third_pid)");
like($third->query('SELECT 3'), qr/^3$/, 'a session that waits can be cancelled');
cmp_ok(time() - $start, '<', 5, 'soon');
$start = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($first_pid)");
like($first->query('SELECT 1'), qr/^1$/, 'and one whose job runs');
cmp_ok(time() - $start, '<', 5, 'as soon');
like($first->{stderr}, qr/canceling statement due to user request/, 'told why');
unlike($first->{stderr}, qr/trained on the CPU/, 'and nothing else');
ok(wait_until('its job ends', sub { $node->safe_psql('postgres', q{SELECT jobs, waiting FROM dlent.gpus}) eq '1|0' }), 'its job goes');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($second_pid)");
ok(wait_until('all is quiet', sub { $node->safe_psql('postgres', q{SELECT jobs, memory_used FROM dlent.gpus}) eq '0|0' }), 'a session that dies takes its job along');
$first->quit;
$third->quit;
$second->{run}->kill_kill;

# ---- several devices: the least busy one is taken
order('devices=2');
$node->restart;
ok(wait_until('both run', sub { $node->safe_psql('postgres', q{SELECT string_agg(state, ',') FROM dlent.gpus}) eq 'ready,ready' }), 'a process for each device');
order('devices=2', 'slow=3000');
my ($busy) = start_session($node, $long->('busy'));
ok(wait_until('one is busy', sub { $node->safe_psql('postgres', q{SELECT sum(jobs) FROM dlent.gpus}) eq '1' }), 'one is busy');
my $free = $node->safe_psql('postgres', q{SELECT gpu FROM dlent.gpus WHERE jobs = 0});
order('devices=2');
is($node->safe_psql('postgres', q{SELECT device FROM dlent_train('other', 'SELECT x, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}')}),
    "fake:$free", 'the other one is taken');
$busy->{run}->kill_kill;

$node->stop;
done_testing();

# What the tests of the GPU process share. There is no GPU here: dlent_fake_gpu is a stand-in on the CPU, whose faults a file orders.
package GpuTesting;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

our @EXPORT = qw(gpu_node order wait_until alive parent_of signal_process gpu_pid start_session);
# of tests of several cards
our @EXPORT_OK = qw(create_points gpus gpus_are weights details);

my $orders;

# A server with the stand-in; more lines of configuration may follow.
sub gpu_node
{
    my ($name, $conf) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $orders = $node->basedir . '/gpu_orders';
    $ENV{DLENT_FAKE_GPU} = $orders;
    $node->init;
    $node->append_conf('postgresql.conf', "dlent.progress_messages = off\ndlent.gpu_plugin = 'dlent_fake_gpu'\n" . ($conf // ''));
    return $node;
}

# What the stand-in does from now on: "hang", "slow=1000", "devices=2", ...
sub order
{
    my (@words) = @_;
    open my $out, '>', $orders or die "$orders: $!";
    print $out join(' ', @words), "\n";
    close $out;
}

# A process, and not just its remains.
sub alive
{
    my ($pid) = @_;
    open my $status, '<', "/proc/$pid/stat" or return 0;
    my $line = <$status> // '';
    return $line =~ /\) ([A-Z])/ && $1 ne 'Z';
}

sub parent_of
{
    my ($pid) = @_;
    return slurp_file("/proc/$pid/stat") =~ /\) \S (\d+)/ ? $1 : undef;
}

# Never a process group by mistake.
sub signal_process
{
    my ($signal, @pids) = @_;
    for my $pid (@pids) {
        die "no process to send SIG$signal to" unless defined $pid && $pid =~ /^[0-9]+$/ && $pid > 1;
        kill $signal, $pid;
    }
}

sub gpu_pid
{
    my ($node, $gpu) = @_;
    $gpu //= 0;
    return $node->safe_psql('postgres', "SELECT pid FROM dlent.gpus WHERE gpu = $gpu");
}

# A session that runs a statement and does not wait for it.
sub start_session
{
    my ($node, $statement) = @_;
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    my $pid = $session->query('SELECT pg_backend_pid()');
    $session->query_until(qr/started/, "\\echo started\n$statement;\n");
    return ($session, $pid);
}

# What tests of several cards train on, in a new database: the extension, and table "point".
sub create_points
{
    my ($node) = @_;
    $node->safe_psql('postgres', q{
        CREATE EXTENSION dlent;
        CREATE TABLE point AS
        SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, 'level ' || i % 7 AS l, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
        FROM generate_series(1, 1000) AS i;
    });
}

# A column of dlent.gpus, a value a card.
sub gpus
{
    my ($node, $column) = @_;
    return $node->safe_psql('postgres', "SELECT string_agg(($column)::text, ',' ORDER BY gpu) FROM dlent.gpus");
}

sub gpus_are { my ($node, $what, $column, $expected) = @_; ok(wait_until($what, sub { gpus($node, $column) eq $expected }), $what) }

# A digest of the weights of a model's versions.
sub weights
{
    my ($node, $model) = @_;
    return $node->safe_psql('postgres', qq{SELECT md5(string_agg(w.data, ''::bytea ORDER BY w.sequence)) FROM dlent.weight_chunk AS w
        JOIN dlent.version AS v ON v.id = w.version_id JOIN dlent.model AS m ON m.id = v.model_id WHERE m.name = '$model'});
}

# What a version says of itself, at a path of its details.
sub details { my ($node, $model, $path) = @_; return $node->safe_psql('postgres', "SELECT details $path FROM dlent.versions WHERE model = '$model'") }

1;

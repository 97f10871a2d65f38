# Thousands of short connections, and hundreds of models in one database.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\nfsync = off\nmax_connections = 40\n");
$node->start;
sub files { my @files = sort glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlent_*'); return @files }
sub count_files { return scalar(my @files = files()) }

$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 60) AS i;
});
my $models = 500;
$node->safe_psql('postgres', qq{
    DO \$\$
    BEGIN
        FOR i IN 1..$models LOOP
            PERFORM dlent_train('m' || i, 'point', 'z', jsonb_build_object('preset', 'fast', 'epochs', 1, 'seed', i));
        END LOOP;
    END\$\$;
});
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT digest) FROM dlent.versions'), "$models|$models", "$models models");

# ---- a session that uses all of them holds no more than it may
my $all = "SELECT md5(string_agg(dlent_predict('m' || i, 50.5, 7)::text, ',' ORDER BY i)) FROM generate_series(1, $models) AS i";
my $held = q{SELECT sum(bytes + private_bytes) FILTER (WHERE mapped), count(*) FILTER (WHERE mapped), count(*) FROM dlent.model_cache};
sub private_kilobytes
{
    my ($pid) = @_;
    my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^VmData:\s+(\d+)/m;
    return $kilobytes;
}
my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('SET dlent.model_cache_size = \'8MB\'');
my $expected = $session->query_safe($all);
is($session->query_safe($all), $expected, 'all models answer, again and again');
my ($bytes, $mapped, $cached) = split /\|/, $session->query_safe($held);
cmp_ok($bytes, '<=', (8 << 20) + 64 * $mapped, 'a session keeps what it may');
cmp_ok($mapped, '<', $models, 'and gives up the others');
cmp_ok($mapped, '>', 0, 'but not all');
is($cached, $models, 'while the machine keeps all');
is(count_files(), $models, 'in a file each');
SKIP:
{
    skip 'no /proc', 1 unless -r "/proc/$pid/status";
    my $before = private_kilobytes($pid);
    $session->query_safe($all) for 1 .. 5;
    cmp_ok(private_kilobytes($pid), '<=', $before + 1024, 'its memory does not grow');
}
$session->query_safe('SET dlent.model_cache_size = \'1GB\'');
is($session->query_safe($all), $expected, 'with a large cache');
($bytes, $mapped) = split /\|/, $session->query_safe($held);
is($mapped, $models, 'it keeps all');
$session->query_safe('SET dlent.model_cache_size = 0');
is($session->query_safe($all), $expected, 'with none');
($bytes, $mapped) = split /\|/, $session->query_safe($held);
is($mapped, 1, 'it keeps the last');
$session->quit;

# ---- short connections, while files vanish under them
SKIP:
{
    skip 'no pgbench', 4 unless system('pgbench --version >/dev/null 2>&1') == 0;
    my $script = $node->basedir . '/score.sql';
    append_to_file($script, "\\set i random(1, 20)\nSELECT dlent_predict('m' || :i, 50.5, 7);\n");
    my @bench = ('pgbench', '-n', '-C', '-c', '8', '-j', '2', '-T', '5', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres');
    my ($out, $err) = ('', '');
    my $run = IPC::Run::start(\@bench, '>', \$out, '2>', \$err);
    my @victims = files();
    for (1 .. 40)
    {
        unlink $victims[ rand @victims ];
        select(undef, undef, undef, 0.05);
        $run->pump_nb;
    }
    ok($run->finish, 'short connections') or diag($err);
    my ($done) = $out =~ /number of transactions actually processed: (\d+)/;
    note("$done connections");
    cmp_ok($done, '>', 100, 'many');
    unlike("$out$err", qr/ERROR|WARNING|FATAL|failed transactions: [1-9]/, 'no error and no warning');
    is(scalar(grep { /\.\d+\.\d+$/ } files()), 0, 'and nothing half written');
}
is($node->safe_psql('postgres', $all), $expected, 'all models answer as before');
is(count_files(), $models, 'a file each');

# ---- files go with their models
$node->safe_psql('postgres', q{SELECT count(dlent_drop_model('m' || i)) FROM generate_series(101, 500) AS i});
is(count_files(), 100, 'a drop of many leaves a file for each that stays');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|WARNING/, 'the log is clean');
done_testing();

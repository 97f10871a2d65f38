# The shared files of packed models on a hot standby: it makes its own and sweeps them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "dlent.progress_messages = off\nautovacuum = off\nwal_keep_size = 512MB\n");
$primary->start;
$primary->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 500) AS i;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "seed": 1}');
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "seed": 2}');
});
sub scores { return "SELECT md5(string_agg(dlent_predict('m\@$_[0]', x, y)::text, ',' ORDER BY id)) FROM point" }
sub files { my ($node) = @_; my @files = sort glob($node->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlent_*'); return @files }
sub count_files { return scalar(my @files = files(@_)) }
sub names { return join(' ', map { s,.*/,,r } files(@_)) }
my @expected = (undef, map { $primary->safe_psql('postgres', scores($_)) } 1, 2);
is(count_files($primary), 2, 'the primary has files');
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
is(count_files($standby), 0, 'a base backup brings none along');
$standby->start;
$primary->wait_for_catchup($standby);

is($standby->safe_psql('postgres', scores($_)), $expected[$_], "the standby scores by version $_ like the primary") for 1, 2;
is(names($standby), names($primary), 'it made its own files, of the same names');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM dlent.model_cache WHERE bytes > 0}), '2', 'the view shows them');
unlink files($standby);
my $parallel = $standby->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
is($standby->safe_psql('postgres', "SET $parallel = on; " . scores(1)), $expected[1], 'a parallel worker makes a file as well');
is(count_files($standby), 1, 'one');
is($standby->safe_psql('postgres', scores(2)), $expected[2], 'the other again');

# A version that the primary drops: its file goes on the standby when the next one is made.
$primary->safe_psql('postgres', q{
    SELECT dlent_drop_model('m', 2);
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "seed": 3}');
});
is(count_files($primary), 1, 'the primary removes a dropped version\'s file at once');
$primary->wait_for_catchup($standby);
my ($status, $out, $err) = $standby->psql('postgres', scores(2));
like($err, qr/version 2 of model "m" does not exist/, 'the standby knows of the drop');
is($standby->safe_psql('postgres', scores(3)), $primary->safe_psql('postgres', scores(3)), 'a new version');
is(names($standby), names($primary), 'the standby has swept the dropped one');

# Cancelled sessions leave nothing.
$standby->psql('postgres', 'SET statement_timeout = 1; ' . scores(1)) for 1 .. 5;
is(scalar(grep { /\.\d+\.\d+$/ } files($standby)), 0, 'nothing half written');

# A promotion of a version on the primary is seen once it is replayed.
my $champion = q{SELECT md5(string_agg(dlent_predict('m', x, y)::text, ',' ORDER BY id)) FROM point};
my $session = $standby->background_psql('postgres');
is($session->query_safe($champion), $expected[1], 'the champion');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}) or die 'replay goes on';
$primary->safe_psql('postgres', q{SELECT dlent_promote('m', 3)});
is($session->query_safe($champion), $expected[1], 'a promotion that has not been replayed is not seen');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby);
is($session->query_safe($champion), $primary->safe_psql('postgres', $champion), 'and is once it has been');
$session->quit;

$standby->promote;
is($standby->safe_psql('postgres', scores(1)), $expected[1], 'promoted, the standby scores by the same files');
unlike(slurp_file($standby->logfile), qr/WARNING|PANIC/, 'without complaint');
$standby->stop;
$primary->stop;
done_testing();

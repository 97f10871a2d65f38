# Explanations beyond one session: a standby, a restart, a crash while they are written, dump and restore, privileges and row
# security, cancelling; and the statements of docs/explanations.md.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;
use Time::HiRes qw(time usleep);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'dlent'\ndlent.progress_messages = off\nclient_min_messages = warning\nautovacuum = off\nrestart_after_crash = on\nwal_keep_size = 512MB\n");
$primary->start;

# ---- the documented session
open my $file, '<', "$ENV{DLENT_EXAMPLES}/../docs/explanations.md" or die $!;
my $text = do { local $/; <$file> };
close $file;
my @blocks = $text =~ /^```sql\n(.*?)^```/msg;
cmp_ok(scalar @blocks, '>=', 5, 'the page has a session');
$primary->safe_psql('postgres', 'CREATE DATABASE documented');
for my $i (0 .. $#blocks)
{
    my ($out, $err);
    is($primary->psql('documented', $blocks[$i], stdout => \$out, stderr => \$err, on_error_stop => 1), 0, "block $i runs") or diag($err);
    like($out, qr/^t$/m, 'and verifies') if $blocks[$i] =~ /verify/;
}

$primary->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (ARRAY['Bonn', 'Köln'])[1 + i % 2] AS c, i % 4 AS part,
           (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 3000) AS i;
    SELECT dlent_train('m', 'SELECT x, y, c, z FROM point WHERE id <= 600', 'z', '{"preset": "fast", "epochs": 3}');
    SELECT dlent_set_reason_code('m', 'x', 'R1', 'x is {value}');
    SELECT dlent_explain_table('m', 'SELECT * FROM point WHERE id <= 20', 'id', '{"threshold": 0.4, "counterfactuals": 1}');
});
my $explain = q{SELECT md5(string_agg((dlent_explain('m', p, '{"threshold": 0.3}') - 'id' - 'audit')::text, ',' ORDER BY id)) FROM point AS p WHERE id <= 30};
my $verify = 'SELECT bool_and(dlent_verify_explanation(id)), count(*) FROM dlent.explanations';
my $expected = $primary->safe_psql('postgres', $explain);
is($primary->safe_psql('postgres', $verify), 't|20', 'verified where they were made');

# ---- a standby makes its own probe and gives the same explanations
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
my $probes = sub { my @files = glob($_[0]->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlent_*_*_????????????????????????????????_1'); return scalar @files };
is($probes->($standby), 0, 'a base backup leaves probes out');
is($standby->safe_psql('postgres', $explain), $expected, 'a standby explains to the same bytes');
cmp_ok($probes->($standby), '>', 0, 'with a probe of its own');
is($standby->safe_psql('postgres', $verify), 't|20', 'and verifies');
is($standby->safe_psql('postgres', q{SELECT count(*) > 0 FROM dlent.probe_cache}), 't', 'which is shown');
for my $statement (q{SELECT dlent_explain('m', p, '{"store": true}') FROM point AS p LIMIT 1}, q{SELECT dlent_explain_table('m', 'point', 'id')},
    q{SELECT dlent_forget_explanations('m')}, q{SELECT dlent_set_reason_code('m', 'x', 'R2')})
{
    my ($status, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$statement");
    like($err, qr/25006/, "refused on a standby: $statement");
}
$standby->stop;

# ---- a restart removes probes, which are made again
$primary->restart;
is($probes->($primary), 0, 'a start removes probes');
is($primary->safe_psql('postgres', $explain), $expected, 'explained as before');
is($primary->safe_psql('postgres', $verify), 't|20', 'and verified');

# ---- a damaged probe is made anew
my ($probe) = glob($primary->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlent_*_*_????????????????????????????????_1');
my $bytes = slurp_file($probe);
substr($bytes, 200, 1) = chr(ord(substr($bytes, 200, 1)) ^ 1);
unlink $probe;
append_to_file($probe, $bytes);
is($primary->safe_psql('postgres', $explain), $expected, 'a damaged probe is noticed');

# ---- dump and restore
$primary->safe_psql('postgres', 'CREATE DATABASE target');
my $dump = $primary->basedir . '/dump.custom';
$primary->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$primary->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'target', $dump ], 'pg_restore');
is($primary->safe_psql('target', $verify), 't|20', 'restored explanations are verified');
is($primary->safe_psql('target', $explain), $expected, 'and rows explained to the same bytes');
is($primary->safe_psql('target', 'SELECT code FROM dlent.reason_codes'), 'R1', 'with the dictionary');

# ---- privileges and row security
$primary->safe_psql('postgres', q{
    CREATE ROLE scorer; CREATE ROLE clerk; CREATE ROLE stranger;
    SELECT dlent_grant('m', 'predict', 'scorer'), dlent_grant('m', 'explain', 'clerk');
    GRANT SELECT ON point TO scorer, clerk, stranger;
    ALTER TABLE point ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON point TO clerk USING (part = 1);
});
my $as = sub { my ($role, $statement) = @_; my ($status, $out, $err) = $primary->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE $role;\n$statement"); return $status == 0 && $err eq '' ? $out : $err };
my $one = q{SELECT dlent_explain('m', '{"x": 1, "y": 2, "c": "Bonn"}'::jsonb) IS NOT NULL};
like($as->('scorer', $one), qr/42501.*permission denied for model "m"/, 'predict is not explain');
like($as->('stranger', $one), qr/42501/, 'nor is nothing');
is($as->('clerk', $one), 't', 'explain is');
is($as->('scorer', 'SELECT count(*) FROM dlent.explanations'), '0', 'who may predict sees no explanations');
is($as->('stranger', 'SELECT count(*) FROM dlent.explanation_features'), '0', 'nor does a stranger');
is($as->('clerk', 'SELECT count(*) FROM dlent.explanations'), '20', 'who may explain does');
like($as->('clerk', 'SELECT count(*) FROM dlent.explanation'), qr/42501/, 'through the views alone');
is($as->('clerk', q{SELECT dlent_explain_table('m', 'SELECT * FROM point WHERE id <= 40', 'id', '{"seed": 7}')}), '10', 'a source is read under row security');
is($as->('clerk', q{SELECT count(*), bool_and(e.by = 'clerk') FROM dlent.explanations AS e WHERE seed = 7}), '10|t', 'and the caller recorded');
like($as->('clerk', q{SELECT dlent_forget_explanations('m', '1')}), qr/42501/, 'who may explain may not erase');
like($as->('clerk', q{SELECT dlent_set_reason_code('m', 'x', 'R9')}), qr/42501/, 'nor write the dictionary');
my $id = $primary->safe_psql('postgres', 'SELECT id FROM dlent.explanations LIMIT 1');
is($as->('clerk', "SELECT dlent_verify_explanation('$id')"), 't', 'but verify');
like($as->('scorer', "SELECT dlent_verify_explanation('$id')"), qr/42501/, 'which who may predict may not');
$primary->safe_psql('postgres', q{SELECT dlent_revoke('m', 'explain', 'clerk')});
is($as->('clerk', 'SELECT count(*) FROM dlent.explanations'), '0', 'a revoked grant shows nothing');
is($primary->safe_psql('postgres', q{SELECT dlent_forget_explanations('m', '5') >= 1, count(*) FROM dlent.explanations WHERE entity_key = '5'}), 't|2', 'the owner erases');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM dlent.explanation_feature AS f WHERE NOT EXISTS (SELECT FROM dlent.explanation AS e WHERE e.id = f.id)}), '0', 'all of it');

# ---- cancelling: of one long explanation, and of a table
for my $statement (q{SELECT dlent_explain('m', p, '{"num_samples": 1000000, "fresh": true, "feature_selection": "lasso_path"}') FROM point AS p LIMIT 5},
    q{SELECT dlent_explain('m', p, '{"num_samples": 1000000, "seed": 99}') FROM point AS p LIMIT 1},
    q{SELECT dlent_explain_table('m', 'SELECT p.* FROM point AS p, generate_series(1, 100) AS i', 'id', '{"seed": 8}')})
{
    my ($out, $err) = ('', '');
    my $start = time();
    $primary->psql('postgres', "SET statement_timeout = 300; $statement", stdout => \$out, stderr => \$err);
    like($err, qr/canceling statement due to statement timeout/, "a time limit ends it: $statement");
    cmp_ok(time() - $start, '<', 6, 'soon');
}
is($primary->safe_psql('postgres', 'SELECT count(*) FROM dlent.explanations WHERE seed = 8'), '0', 'nothing of it is kept');

# ---- a crash while a table is explained leaves nothing; the next run does it all
my $session = $primary->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid()');
$session->query_until(qr/started/, "\\echo started\nSELECT dlent_explain_table('m', 'SELECT p.* FROM point AS p, generate_series(1, 100) AS i', 'id', '{\"seed\": 9}');\n");
my $seen = 0;
for (1 .. 3000)
{
    $seen = $primary->safe_psql('postgres', "SELECT count(*) FROM dlent.progress WHERE pid = $pid AND phase = 'explaining' AND rows_read > 300");
    last if $seen;
    usleep(5000);
}
is($seen, '1', 'its progress is shown');
kill_backend($pid);
$session->{run}->kill_kill;
wait_for_query($primary, 'the server', 'SELECT true');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM dlent.explanations WHERE seed = 9'), '0', 'a crash leaves nothing');
is($primary->safe_psql('postgres', q{SELECT dlent_explain_table('m', 'SELECT * FROM point WHERE id <= 300', 'id', '{"seed": 9}')}), '300', 'the next run explains');
is($primary->safe_psql('postgres', q{SELECT dlent_explain_table('m', 'SELECT * FROM point WHERE id <= 400', 'id', '{"seed": 9}')}), '100', 'and the one after what is missing');

# ---- the decision and its explanation are in one transaction
$primary->safe_psql('postgres', q{BEGIN; SELECT dlent_explain('m', p, '{"store": true, "key": "undone"}') FROM point AS p LIMIT 1; ROLLBACK});
is($primary->safe_psql('postgres', q{SELECT count(*) FROM dlent.explanations WHERE entity_key = 'undone'}), '0', 'a rollback takes the explanation along');

# ---- settings of the session do not change what is verified
is($primary->safe_psql('postgres', q{SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET timezone = 'Asia/Tokyo'; SET extra_float_digits = -10;
    SELECT bool_and(dlent_verify_explanation(id)) FROM (SELECT id FROM dlent.explanations LIMIT 10) AS e}), 't', 'settings change nothing');

$primary->stop;
done_testing();

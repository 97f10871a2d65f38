# pg_upgrade takes models along: the same rows of the catalog, the same scores, contracts that hold and belong to the extension.
# From this version to itself; with UPGRADE_FROM, the root of another installation that has dlent, from that one.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old', $ENV{UPGRADE_FROM} ? (install_path => $ENV{UPGRADE_FROM}) : ());
my $new = PostgreSQL::Test::Cluster->new('new');
for my $node ($old, $new)
{
    # as version 18 has it by itself
    $node->init(extra => ['--data-checksums']);
    $node->append_conf('postgresql.conf', "shared_preload_libraries = 'dlent'\ndlent.progress_messages = off\nclient_min_messages = warning\n");
}

$old->start;
$old->safe_psql('postgres', q{
    CREATE SCHEMA elsewhere;
    CREATE EXTENSION dlent SCHEMA elsewhere;
    SET search_path = public, elsewhere;
    CREATE ROLE friend;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 500) AS i;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 2, "hidden": [300, 300]}');
    SELECT dlent_train('m', 'SELECT x + 1 AS more, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
    SELECT dlent_train('dropped', 'point', 'z', '{"preset": "fast", "epochs": 1}');
    SELECT dlent_drop_model('dropped');
    SELECT dlent_grant('m', 'predict', 'friend');
    SELECT dlent_expect('m', 'answers', 'prediction >= 0');
    SELECT dlent_check('m', 'SELECT x, y, z FROM point', '{"store": true}');
    SELECT dlent_drift('m', 'SELECT x, y, z FROM point', '{"store": true}');
    SELECT dlent_schedule('m', '0 0 1 1 *');
    CREATE TABLE scored (id int, x float8, y int, score float8 GENERATED ALWAYS AS (dlent_predict_version('m', 1, x, y)) STORED);
    INSERT INTO scored (id, x, y) SELECT id, x, y FROM point;
    CREATE INDEX scored_by ON scored (dlent_predict_version('m', 1, x, y));
});

my $scores = q{SET search_path = public, elsewhere; SET enable_seqscan = off;
    SELECT md5(string_agg(dlent_predict('m', p)::text || dlent_predict('m@2', x + 1) || dlent_score((SELECT digest FROM dlent.versions WHERE version = 1), p), ',' ORDER BY id)) FROM point AS p;
    SELECT count(*), md5(string_agg(score::text, ',' ORDER BY id)) FROM scored WHERE dlent_predict_version('m', 1, x, y) > 0.3};
my $state = q{SELECT (SELECT json_agg(m ORDER BY model) FROM dlent.models AS m), (SELECT json_agg(v ORDER BY model, version) FROM dlent.versions AS v),
    (SELECT json_agg(l ORDER BY model, version, step) FROM dlent.training_log AS l), (SELECT json_agg(e ORDER BY id) FROM dlent.events AS e),
    (SELECT json_agg(g ORDER BY model, grantee) FROM dlent.grants AS g), (SELECT json_agg(d ORDER BY report, feature, kind) FROM dlent.drift_reports AS d),
    (SELECT json_agg(x) FROM dlent.expectations AS x), (SELECT json_agg(r) FROM dlent.expectation_results AS r), (SELECT json_agg(s.expression) FROM dlent.schedules AS s)};
my $members = q{SELECT count(*) FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlent')};
my %before = map { $_ => $old->safe_psql('postgres', $_) } $scores, $state, $members;
$old->stop;

# it writes into the folder where it runs
chdir $PostgreSQL::Test::Utils::tmp_check or die;
command_ok([ 'pg_upgrade', '--no-sync', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
        '--old-bindir', $old->config_data('--bindir'), '--new-bindir', $new->config_data('--bindir'),
        '--socketdir', $new->host, '--old-port', $old->port, '--new-port', $new->port ], 'pg_upgrade');

$new->start;
is($new->safe_psql('postgres', $scores), $before{$scores}, 'the scores are the same, in columns and by index too');
is($new->safe_psql('postgres', $state), $before{$state}, 'so is what the catalog says');
is($new->safe_psql('postgres', $members), $before{$members}, 'all that was the extension\'s is');
my ($status, $out, $err) = $new->psql('postgres', 'ALTER TABLE point DROP COLUMN y');
like($err, qr/cannot drop column y .* because other objects depend on it/, 'contracts hold');
is($new->safe_psql('postgres', q{SET search_path = public, elsewhere;
    SELECT version FROM dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1}')}), '3', 'numbers go on');
$new->safe_psql('postgres', 'DROP EXTENSION dlent CASCADE');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'dlent'}), '0', 'DROP EXTENSION leaves nothing');

$new->stop;
done_testing();

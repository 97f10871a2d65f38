# Indexes, generated columns and constraints that score are dumped and restored with the versions that they name.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 500) AS i;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
    CREATE TABLE scored (id int, x float8, y int, score float8 GENERATED ALWAYS AS (dlent_predict_version('m', 1, x, y)) STORED,
                         CHECK (dlent_predict_version('m', 1, x, y) BETWEEN 0 AND 1));
    INSERT INTO scored (id, x, y) SELECT id, x, y FROM point;
    CREATE INDEX scored_by ON scored (dlent_predict_version('m', 1, x, y));
    CREATE VIEW best AS SELECT id FROM scored ORDER BY dlent_predict_version('m', 1, x, y) DESC LIMIT 10;
});
my $digest = $node->safe_psql('source', q{SELECT digest FROM dlent.versions});
$node->safe_psql('source', "CREATE INDEX scored_by_digest ON scored (dlent_score('$digest', x, y))");
my $state = qq{SET enable_seqscan = off;
    SELECT count(*), md5(string_agg(score::text, ',' ORDER BY id)) FROM scored;
    SELECT string_agg(id::text, ',') FROM best;
    SELECT string_agg(id::text, ',' ORDER BY id) FROM scored WHERE dlent_score('$digest', x, y) > 0.6};
my $before = $node->safe_psql('source', $state);

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", $node->connstr('source') ], 'dump as text');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", $node->connstr('source') ], 'dump as an archive');
$node->safe_psql('postgres', $_) for 'CREATE DATABASE text', 'CREATE DATABASE archive';
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", $node->connstr('text') ], 'restore the text');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('archive'), "$dump.custom" ], 'restore the archive');
for my $database ('text', 'archive')
{
    is($node->safe_psql($database, $state), $before, "$database: scores are the same");
    my ($status, $out, $err) = $node->psql($database, q{SELECT dlent_drop_model('m')});
    like($err, qr/cannot drop model "m".*index public\.scored_by depends on version 1.*index public\.scored_by_digest depends on version 1/s,
        "$database: and hold their version");
}
$node->stop;
done_testing();

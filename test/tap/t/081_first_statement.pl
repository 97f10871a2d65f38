# Batches work from the first statement of a session, also where the library is not preloaded.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "client_min_messages = error\nmax_parallel_workers_per_gather = 0\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS SELECT i % 100 AS x, i % 13 AS y, (i % 100) * 2 + i % 13 AS z FROM generate_series(1, 2000) AS i ORDER BY hashint4(i);
    SELECT dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1}');
    SELECT dlent_train('wide', 'point', 'z', '{"preset": "fast", "epochs": 1, "hidden": [1500, 1500]}');
});

my $query = q{SELECT sum(dlent_predict('m', p)) FROM point AS p};
my $plan = $node->safe_psql('postgres', "EXPLAIN ANALYZE $query");
like($plan, qr/DlentScore.*Rows Scored: 2000/s, 'the first statement of a session is batched');
my $two = $node->safe_psql('postgres', "$query; EXPLAIN $query; SET dlent.batch = off; EXPLAIN $query; $query");
like($two, qr/^([-\d.e+]+)\n.*DlentScore.*\n\1$/s, 'so is the second, with the same result as without batches');
$node->safe_psql('postgres', "ALTER ROLE CURRENT_USER SET dlent.batch = off");
unlike($node->safe_psql('postgres', "EXPLAIN $query"), qr/DlentScore/, 'a setting of the role counts from the first statement on');
$node->safe_psql('postgres', "ALTER ROLE CURRENT_USER RESET dlent.batch");

# Costs follow from what rows were measured to take, and where they were not, from the size of the network: a measure of a
# busy machine would make any network slow.
$node->safe_psql('postgres', 'UPDATE dlent.version SET score_us_batched = NULL');
sub cost
{
    my ($model) = @_;
    my ($cost) = $node->safe_psql('postgres', "EXPLAIN SELECT dlent_predict('$model', p) FROM point AS p") =~ /cost=[\d.]+\.\.([\d.]+)/;
    return $cost;
}
cmp_ok(cost('wide'), '>', 5 * cost('m'), 'a large network costs more');
my $by_size = cost('m');
$node->safe_psql('postgres', q{UPDATE dlent.version SET score_us_batched = 100 WHERE model_id = (SELECT id FROM dlent.model WHERE name = 'm')});
cmp_ok(cost('m'), '>', 5 * $by_size, 'so does one that was measured to be slow');
$node->safe_psql('postgres', 'UPDATE dlent.version SET score_us_batched = NULL');

# They decide whether workers pay: under settings as they come, but for the least size of a table.
sub workers
{
    my ($what) = @_;
    return $node->safe_psql('postgres', "SET max_parallel_workers_per_gather = 2; SET min_parallel_table_scan_size = 0; EXPLAIN SELECT $what FROM point AS p") =~ /Gather/ ? 1 : 0;
}
is(workers('count(*)'), 0, 'a count of few rows needs no workers');
is(workers(q{sum(dlent_predict('m', p))}), 0, 'nor do scores of a small network');
is(workers(q{sum(dlent_predict('wide', p))}), 1, 'those of a large one do');

$node->stop;
done_testing();

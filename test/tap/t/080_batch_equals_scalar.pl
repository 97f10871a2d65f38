# A row gets the same bits whatever the plan: several hundred generated queries, each run with and without batches.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use GeneratedQueries;

my $queries = $ENV{DLENT_BATCH_QUERIES} || 600;
my $seed = $ENV{DLENT_BATCH_SEED} || 20250307;

my $node = new_server('main');
create_tables($node);
train_models($node,
    number => ['{"preset": "fast", "epochs": 2, "seed": 1}', '{"preset": "fast", "epochs": 1, "seed": 2}'],
    two => ['{"preset": "fast", "epochs": 2, "seed": 1, "positive_class": true}'],
    three => ['{"epochs": 1, "seed": 1}'],
    dense => ['{"preset": "fast", "epochs": 1, "seed": 1}']);
compare_answers($node, $queries, $seed, 'one version');

# What workers did is counted with what the leader did.
my $analyzed = $node->safe_psql('postgres',
    q{EXPLAIN (ANALYZE, COSTS OFF) SELECT sum(dlent_predict('number', plain)) FROM plain});
like($analyzed, qr/Workers Launched: [12].*DlentScore.*Batches: [1-9].*Rows Scored: 900\b.*Model Time: \d+\.\d+ ms/s, 'EXPLAIN ANALYZE counts the work of parallel workers')
  or diag($analyzed);

$node->stop;
done_testing();

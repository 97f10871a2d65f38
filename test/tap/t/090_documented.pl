# The first session of the README, statement by statement, on a fresh database.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = "$ENV{DLENT_EXAMPLES}/../README.md";
open my $file, '<', $readme or die "cannot read $readme: $!";
my $text = do { local $/; <$file> };
close $file;

my $node = PostgreSQL::Test::Cluster->new('documented');
$node->init;
$node->start;

my @blocks = $text =~ /^```sql\n(.*?)^```/msg;
cmp_ok(scalar @blocks, '>=', 5, 'the README has a session');
my $number = 0;
foreach my $block (@blocks)
{
    $number++;
    my ($stdout, $stderr);
    my $status = $node->psql('postgres', $block, stdout => \$stdout, stderr => \$stderr, on_error_stop => 1);
    is($status, 0, "block $number runs") or diag($stderr);
}
is( $node->safe_psql('postgres', "SELECT dlent_classify('returns', 99.0, 'web', 23)"),
    'true', 'and its model knows an obvious case');

$node->stop;
done_testing();

# The card-payments story on a smaller bank, and the statements of the tutorial that can be run as they stand.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $examples = $ENV{DLENT_EXAMPLES};
my $node = PostgreSQL::Test::Cluster->new('story');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nshared_preload_libraries = 'dlent'\n");
$node->start;

sub run_file
{
    my ($file) = @_;
    my ($out, $err) = ('', '');
    my $done = IPC::Run::run(
        [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'customers=200', '-v', 'terminals=375',
          '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out, '2>', \$err);
    ok($done, "$file runs") or diag($err);
    return $out;
}

my %shown = map { $_ => run_file($_) } sort glob("$examples/fraud/[0-9]*.sql");
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM payments.transactions'), '>', 30000, 'a bank of payments');
cmp_ok($node->safe_psql('postgres', q{SELECT metrics ->> 'roc_auc' FROM dlent.versions WHERE model = 'fraud' AND version = 1}), '>', 0.8,
    'the model knows frauds');
my ($score) = grep { /50_score/ } keys %shown;
like($shown{$score}, qr/rollback|version in use again/, 'the story ends with a rollback');
my ($loop) = grep { /70_monitor/ } keys %shown;
like($shown{$loop}, qr/monitor_trigger.*monitor_trained.*monitor_accepted.*monitor_shadow.*monitor_shadow_passed.*monitor_promoted/s, 'the loop runs by itself when the world changes');
is($node->safe_psql('postgres', q{SELECT champion FROM dlent.models WHERE model = 'fraud'}), '3', 'and has a new champion');

# The tutorial's statements; those with an ellipsis are sketches.
my $tutorial = "$examples/../docs/tutorial.md";
open my $file, '<', $tutorial or die "cannot read $tutorial: $!";
my $text = do { local $/; <$file> };
close $file;
$node->safe_psql('postgres', 'CREATE ROLE analyst');
my $ran = 0;
foreach my $block ($text =~ /^```sql\n(.*?)^```/msg)
{
    next if $block =~ /\.\.\./ || $block =~ /CREATE EXTENSION/;
    my ($out, $err);
    $ran++;
    is($node->psql('postgres', $block, stdout => \$out, stderr => \$err, on_error_stop => 1), 0, "the tutorial's block $ran runs")
        or diag("$block\n$err");
}
cmp_ok($ran, '>=', 5, 'the tutorial has statements');

$node->stop;
done_testing();

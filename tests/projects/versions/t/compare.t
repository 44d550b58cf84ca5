use strict;
use warnings;
use Test::More;
use Versions 'compare';

my @sorted = ('0.9', '1.0', '1.2', '1.2.1', '1.10', '2.0', '10.0');
for my $index (1 .. $#sorted) {
    my ($older, $newer) = @sorted[$index - 1, $index];
    is(compare($older, $newer), -1, "$older is older than $newer");
    is(compare($newer, $older), 1,  "$newer is newer than $older");
}
is(compare('1.0', '1'), 0, 'missing numbers are zero');
done_testing();

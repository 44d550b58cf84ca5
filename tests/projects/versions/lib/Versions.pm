package Versions;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(parse compare newest);

# The numbers of a version; dies if it is none.
sub parse {
    my ($text) = @_;
    $text =~ /\Av?([0-9]+(?:\.[0-9]+)*)\z/ or die "not a version: $text\n";
    return split /\./, $1;
}

# Less than, equal to or greater than 0, as the first version is older, the same or newer.
sub compare {
    my @one   = parse($_[0]);
    my @other = parse($_[1]);
    while (@one || @other) {
        my ($left, $right) = (shift @one // 0, shift @other // 0);
        my $order = $left cmp $right;
        return $order if $order;
    }
    return 0;
}

# The newest of some versions, undef of none.
sub newest {
    my ($newest, @rest) = @_;
    for my $version (@rest) {
        $newest = $version if compare($version, $newest) > 0;
    }
    return $newest;
}

1;

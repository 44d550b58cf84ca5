//! What a guest cannot do to who looks at its files.

use crate::pyro;
use crate::support::hostile;

#[test]
fn odd_names_links_and_files_hurt_nobody() {
    hostile::odd_names_links_and_files_hurt_nobody(&pyro());
}

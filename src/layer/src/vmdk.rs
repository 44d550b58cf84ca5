//! VMDK descriptors: many files as one disk.
//!
//! Flat extents from the start of their files, nothing else: what every reader gets right.

use std::fmt::Write;

/// Why a descriptor cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VmdkError {
    /// A descriptor cannot quote this name, or it is not a bare name.
    #[error("{0:?} cannot be named in a VMDK descriptor")]
    Name(String),
    /// Readers disagree about empty extents.
    #[error("extent {0} of a VMDK descriptor is empty")]
    Empty(usize),
}

/// A part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmdkExtent<'a> {
    /// The first `sectors` sectors of 512 bytes of the file `name`.
    Flat {
        /// Name of a file beside the descriptor: no `/`, no `"`, no control character.
        name: &'a str,
        /// Sectors of 512 bytes.
        sectors: u64,
    },
    /// Zeros.
    Zero {
        /// Sectors of 512 bytes.
        sectors: u64,
    },
}

/// A read-only descriptor of these extents, in this order.
///
/// # Errors
/// [`VmdkError`].
pub fn descriptor(extents: &[VmdkExtent<'_>]) -> Result<String, VmdkError> {
    let mut text = String::from(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
         createType=\"twoGbMaxExtentFlat\"\n\n# Extent description\n",
    );
    for (number, extent) in extents.iter().enumerate() {
        let (VmdkExtent::Flat { sectors, .. } | VmdkExtent::Zero { sectors }) = extent;
        if *sectors == 0 {
            return Err(VmdkError::Empty(number));
        }
        let written = match extent {
            VmdkExtent::Flat { name, sectors } => {
                let bare = |char: char| !char.is_control() && char != '"' && char != '/';
                if name.is_empty() || !name.chars().all(bare) {
                    return Err(VmdkError::Name((*name).to_owned()));
                }
                writeln!(text, "RDONLY {sectors} FLAT \"{name}\" 0")
            }
            VmdkExtent::Zero { sectors } => writeln!(text, "RDONLY {sectors} ZERO"),
        };
        written.expect("a string takes every write");
    }
    text.push_str("\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_lists_its_extents_in_order() {
        let extents = [
            VmdkExtent::Flat { name: "a.erofs", sectors: 16 },
            VmdkExtent::Flat { name: "00ff", sectors: 5_000_000_000 },
            VmdkExtent::Zero { sectors: 1 },
        ];
        let expected = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
                        createType=\"twoGbMaxExtentFlat\"\n\n# Extent description\n\
                        RDONLY 16 FLAT \"a.erofs\" 0\nRDONLY 5000000000 FLAT \"00ff\" 0\nRDONLY 1 ZERO\n\n\
                        # The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n";
        assert_eq!(descriptor(&extents).unwrap(), expected);
    }

    #[test]
    fn what_readers_would_misread_is_refused() {
        for name in ["", "a\"b", "a\nb", "../a", "/etc/passwd"] {
            let extents = [VmdkExtent::Flat { name, sectors: 1 }];
            assert_eq!(descriptor(&extents), Err(VmdkError::Name(name.to_owned())));
        }
        assert_eq!(descriptor(&[VmdkExtent::Zero { sectors: 0 }]), Err(VmdkError::Empty(0)));
    }
}

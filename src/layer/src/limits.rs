//! What a layer may cost. A tar from a registry must not choose our memory, disk or time.

/// Longest path that Linux passes to a system call, with its final zero.
pub(crate) const PATH_MAX: usize = 4096;
/// Longest name of a directory entry on every Linux file system.
pub(crate) const NAME_MAX: usize = 255;
/// Longest target of a symbolic link: a page less its final zero.
pub(crate) const TARGET_MAX: usize = 4095;
/// Deepest nesting; keeps every walk's stack small.
pub(crate) const DEPTH_MAX: usize = 256;
/// Longest value of an extended attribute: EROFS counts it in 16 bits (Linux allows one byte more).
pub(crate) const XATTR_VALUE_MAX: usize = 65_535;
/// Most bytes of extended attributes on one entry: EROFS can hold 256 KiB, ext4 less.
pub(crate) const XATTRS_MAX: usize = 128 << 10;

/// Bounds on one layer. The limits that come from Linux or from EROFS are fixed; these are policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most entries: the largest real images have a few hundred thousand.
    pub entries: u64,
    /// Longest tar.
    pub layer_bytes: u64,
    /// Most bytes of sparse files, holes included: a header of 512 bytes can claim exabytes.
    pub expanded_bytes: u64,
    /// Longest header of extensions: two encodings of the longest attribute, or a long sparse map.
    pub extension_bytes: u64,
    /// Most bytes of names, targets, attributes and sparse maps that are kept in memory.
    pub metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            layer_bytes: 64 << 30,
            expanded_bytes: 8 << 30,
            extension_bytes: 1 << 20,
            metadata_bytes: 512 << 20,
        }
    }
}

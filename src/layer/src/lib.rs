//! Image layers as bytes: tar, table of contents, merge, EROFS index, VMDK.

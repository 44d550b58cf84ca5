//! Frames from a hostile guest: errors are fine, panics are bugs, and what decodes encodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyro_protocol::{Input, Ready, Reply, Request, frame};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

fn round_trip<T>(bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(message) = frame::read::<T>(bytes) {
        let mut wire = Vec::new();
        frame::write(&mut wire, &message).expect("what was read can be written");
        assert_eq!(frame::read::<T>(&wire[..]).expect("what was written can be read"), message);
    }
}

fuzz_target!(|bytes: &[u8]| {
    round_trip::<Request>(bytes);
    round_trip::<Reply>(bytes);
    round_trip::<Input>(bytes);
    round_trip::<Ready>(bytes);
});

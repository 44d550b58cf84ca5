//! No capabilities, now or ever, and nobody who looks into the monitor's memory.

use super::Step;
use crate::report::Failure;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal, umask,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits, set_no_new_privs,
};

/// Drops everything that the user namespace gave.
pub fn drop_all() -> Result<(), Failure> {
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    set_no_new_privs(true).step("set no_new_privs")?;
    clear_ambient_capability_set().step("clear ambient capabilities")?;
    empty_bounding_set()?;
    set_capabilities_secure_bits(secure_bits()).step("set securebits")?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).step("drop capabilities")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("forbid dumps")?;
    // The owner's process watches this one. Without it nobody would end the machine in time.
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie to the parent's life")
}

/// By number, since kernels know capabilities that libraries do not.
fn empty_bounding_set() -> Result<(), Failure> {
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The first number that this kernel does not have.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error).step("empty the bounding set"),
        }
    }
    Ok(())
}

/// Being root gives nothing, and that cannot be changed.
fn secure_bits() -> CapabilitiesSecureBits {
    CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED
}

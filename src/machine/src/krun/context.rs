//! A microVM in the making.

use super::ffi::{self, Format, Sync};
use pyro_machine::report::Failure;
use pyro_machine::spec::DiskFormat;
use std::ffi::CString;
use std::fmt::Display;
use std::path::Path;

/// A microVM in the making. Nothing of it runs before [`Context::enter`].
#[derive(Debug)]
pub struct Context {
    id: u32,
}

/// Which end of a forwarded port dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialer {
    /// The host's: libkrun makes the socket and listens.
    Host,
    /// The guest's: somebody on the host listens already.
    Guest,
}

impl Context {
    /// A microVM with the kernel of `firmware`, no devices, and its log on standard error. Opens
    /// files of the host: the last step that does.
    pub fn new(firmware: &Path) -> Result<Self, Failure> {
        named("start libkrun's log", ffi::log())?;
        named(&format!("load {}", firmware.display()), ffi::load(firmware))?;
        let id = named("make a libkrun context", ffi::create())?;
        named("disable libkrun's implicit console", ffi::disable_implicit_console(id))?;
        named("disable libkrun's implicit vsock", ffi::disable_implicit_vsock(id))?;
        Ok(Self { id })
    }

    /// Sets processors and memory.
    pub fn size(&mut self, vcpus: u8, mem_mib: u32) -> Result<(), Failure> {
        named("set the machine's size", ffi::set_size(self.id, vcpus, mem_mib))
    }

    /// Appends words to the kernel's command line. Later ones win.
    pub fn kernel_words(&mut self, words: &[String]) -> Result<(), Failure> {
        let words = words.iter().map(|word| c_string(word)).collect::<Result<Vec<_>, _>>()?;
        let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
        named("set the kernel's command line", ffi::set_words(self.id, &words))
    }

    /// Adds the next disk, of which the guest's writes reach the host's disk when it flushes.
    pub fn disk(&mut self, path: &str, format: DiskFormat, read_only: bool) -> Result<(), Failure> {
        let format = match format {
            DiskFormat::Raw => Format::Raw,
            DiskFormat::Vmdk => Format::Vmdk,
        };
        let sync = if read_only { Sync::None } else { Sync::Full };
        let c_path = c_string(path)?;
        named(
            &format!("add the disk {path}"),
            ffi::add_disk(self.id, &c_path, &c_path, format, read_only, sync),
        )
    }

    /// Adds the console, whose lines go to the log.
    pub fn console(&mut self) -> Result<(), Failure> {
        named("add the console", ffi::add_logged_console(self.id))
    }

    /// Adds a vsock device that forwards `ports`: number, socket, and who dials.
    pub fn vsock(&mut self, ports: &[(u32, String, Dialer)]) -> Result<(), Failure> {
        named("add the vsock device", ffi::add_plain_vsock(self.id))?;
        for (port, path, dialer) in ports {
            let forwarded = ffi::add_vsock_port(self.id, *port, &c_string(path)?, *dialer == Dialer::Host);
            named(&format!("forward vsock port {port} to {path}"), forwarded)?;
        }
        Ok(())
    }

    /// Becomes the microVM: when the guest ends, the process does. Returns only what kept it from
    /// starting; libkrun's log knows more.
    pub fn enter(self) -> Failure {
        Failure { step: "start the virtual machine".into(), reason: ffi::enter(self.id).to_string() }
    }
}

fn named<T>(step: &str, result: Result<T, impl Display>) -> Result<T, Failure> {
    result.map_err(|error| Failure { step: step.into(), reason: error.to_string() })
}

fn c_string(text: &str) -> Result<CString, Failure> {
    named(&format!("pass {text:?} to libkrun"), CString::new(text))
}

//! frcopy from outside: the real binary, real HTTP on loopback, servers that behave well and servers that do not.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and says why"
)]

#[cfg(all(unix, feature = "emulator"))]
mod az;
#[cfg(feature = "emulator")]
mod batch;
#[cfg(feature = "emulator")]
mod check;
#[cfg(feature = "emulator")]
mod ci;
mod completions;
mod copy;
#[cfg(feature = "emulator")]
mod delegated;
#[cfg(feature = "emulator")]
mod emulator;
#[cfg(feature = "emulator")]
mod emulator_replay;
#[cfg(all(target_os = "linux", feature = "emulator", feature = "entra"))]
mod entra;
mod faults;
mod guarantees;
#[cfg(all(unix, feature = "emulator"))]
mod half_way;
mod help;
#[cfg(all(unix, feature = "emulator"))]
mod kill;
#[cfg(feature = "emulator")]
mod lab;
#[cfg(feature = "emulator")]
mod list;
mod matrix;
#[cfg(target_os = "linux")]
mod proxy;
mod readme;
#[cfg(target_os = "linux")]
mod release;
#[cfg(all(unix, feature = "emulator"))]
mod replace;
mod replay;
mod secrets;
mod settings;
#[cfg(unix)]
mod signals;
mod support;
mod tls;
#[cfg(feature = "emulator")]
mod tokens;
mod versions;
#[cfg(all(unix, feature = "emulator"))]
mod victim;
mod wait;
mod wire;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod workflows;

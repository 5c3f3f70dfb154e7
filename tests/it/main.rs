//! Integration tests: the binary, HTTP on loopback, and the test doubles in [`support`].
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by a panic with a message"
)]

#[cfg(all(unix, feature = "emulator"))]
mod az;
#[cfg(feature = "emulator")]
mod batch;
mod blank_models;
#[cfg(feature = "emulator")]
mod check;
#[cfg(feature = "emulator")]
mod check_recorded;
#[cfg(feature = "emulator")]
mod ci;
mod clocks;
mod completions;
mod connection_faults;
mod copy;
mod deadlines;
#[cfg(feature = "emulator")]
mod delegated;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod doctor;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod doctor_tier;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod drill;
#[cfg(feature = "emulator")]
mod emulator;
#[cfg(feature = "emulator")]
mod emulator_config;
#[cfg(feature = "emulator")]
mod emulator_faults;
#[cfg(feature = "emulator")]
mod emulator_replay;
#[cfg(target_os = "linux")]
mod endless_lists;
#[cfg(all(target_os = "linux", feature = "emulator", feature = "entra"))]
mod entra;
mod evidence;
#[cfg(feature = "emulator")]
mod fail_back;
mod fault_matrix;
mod faults;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod files;
mod guarantees;
mod help;
#[cfg(feature = "emulator")]
mod hostile_text;
mod identity;
#[cfg(feature = "emulator")]
mod interrupted_batch;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod journal;
#[cfg(all(unix, feature = "emulator"))]
mod killed;
#[cfg(feature = "emulator")]
mod large_batch;
#[cfg(feature = "emulator")]
mod list;
#[cfg(feature = "emulator")]
mod list_faults;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod manifest;
#[cfg(feature = "emulator")]
mod manifest_ids;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod memory;
#[cfg(feature = "emulator")]
mod named;
#[cfg(feature = "emulator")]
mod named_errors;
#[cfg(all(feature = "emulator", target_os = "linux"))]
mod network;
#[cfg(unix)]
mod printed_commands;
mod proof;
#[cfg(target_os = "linux")]
mod proxy;
#[cfg(all(unix, feature = "emulator"))]
mod prune;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod prune_open;
mod readme;
#[cfg(target_os = "linux")]
#[cfg(feature = "emulator")]
mod recipes;
#[cfg(feature = "emulator")]
mod refused_credentials;
mod release;
#[cfg(all(unix, feature = "emulator"))]
mod replace;
#[cfg(feature = "emulator")]
mod replace_faults;
mod replay;
#[cfg(feature = "emulator")]
mod samples;
#[cfg(feature = "emulator")]
mod samples_of_targets;
mod secrets;
mod settings;
#[cfg(unix)]
mod signals;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod simultaneous;
mod snapshots;
mod support;
#[cfg(feature = "emulator")]
mod targets;
#[cfg(feature = "emulator")]
mod templates;
mod tls;
#[cfg(feature = "emulator")]
mod tokens;
mod trained_again;
#[cfg(feature = "emulator")]
mod unreachable_target;
mod unreleased;
mod versions;
mod wait;
#[cfg(all(target_os = "linux", feature = "emulator"))]
mod workflows;

//! `hulak` verifies phone numbers in Nepal. Alone it is everything in one process; its subcommands are the roles of
//! production and what operators do on the command line.
//!
//! # Layout
//! - Roles: [`one`] (API, worker and simulator in one process, with [`data_dir`] for its files), [`api`], [`worker`], [`sandbox`].
//! - Commands: [`migrate`], [`keys`], [`clients`], [`dead`], [`health`], with [`command`] for what those on the database share.
//! - [`mod@launch`]: how each of them starts and ends.

mod api;
mod clients;
mod command;
mod data_dir;
mod dead;
mod health;
mod keys;
mod launch;
mod migrate;
mod one;
mod sandbox;
mod worker;

use clap::{CommandFactory as _, Parser, Subcommand};
use hulak_runtime::settings::{SECRETS_HELP, Variables, parse};

use launch::launch;

/// Verifies phone numbers in Nepal. Without a command: API, worker and SMS simulator in one process, on a SQLite file.
#[derive(Debug, Parser)]
#[command(name = "hulak", version, propagate_version = true)]
#[command(args_conflicts_with_subcommands = true, after_help = SECRETS_HELP)]
struct Program {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    one: one::Settings,
}

/// The program with a subcommand, which reads its own settings only: a bad value for the one-process shape does not
/// concern it.
#[derive(Debug, Parser)]
#[command(name = "hulak", version, propagate_version = true)]
struct WithRole {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve the API.
    Api(Box<api::Settings>),
    /// Send messages: a worker.
    Worker(Box<worker::Settings>),
    /// Simulate the Sparrow SMS gateway, with an inbox and faults on demand.
    Sandbox(sandbox::Settings),
    /// Bring the database's schema up to date, and end.
    Migrate(migrate::Settings),
    /// Make, list and revoke keys.
    Keys(keys::Settings),
    /// See and change what is set for client applications.
    Clients(clients::Settings),
    /// List and delete the dead letters: jobs that no worker could read.
    Dead(dead::Settings),
    /// Ask a running role whether it is ready, and end: for health checks.
    Health(health::Settings),
    #[command(skip)]
    One(Box<one::Settings>),
}

/// Requests and messages are many small allocations on several threads: this allocator hands out first what was given back
/// last, which is still in the processor's cache.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let program = Program::command();
    let variables = Variables::of(&program);
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let role = if program.find_subcommand(first).is_some() {
        parse::<WithRole>(&variables).role
    } else {
        let Program { role, one } = parse(&variables);
        role.unwrap_or_else(|| Role::One(Box::new(one)))
    };
    match &role {
        Role::One(settings) => launch(&settings.telemetry, &variables, one::run(settings)),
        Role::Api(settings) => launch(&settings.telemetry, &variables, api::run(settings)),
        Role::Worker(settings) => launch(&settings.telemetry, &variables, worker::run(settings)),
        Role::Sandbox(settings) => launch(&settings.telemetry, &variables, sandbox::run(settings)),
        Role::Migrate(settings) => launch(&settings.common.telemetry, &variables, migrate::run(settings)),
        Role::Keys(settings) => launch(&settings.common.telemetry, &variables, keys::run(settings)),
        Role::Clients(settings) => launch(&settings.common.telemetry, &variables, clients::run(settings)),
        Role::Dead(settings) => launch(&settings.telemetry, &variables, dead::run(settings)),
        Role::Health(settings) => launch(&settings.telemetry, &variables, health::run(settings)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flags_or_groups_of_a_command_have_one_name() {
        Program::command().debug_assert();
        WithRole::command().debug_assert();
    }
}

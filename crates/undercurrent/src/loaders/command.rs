//! What declared commands print.

mod declare;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::Semaphore;
use undercurrent_types::{Key, Level};

use crate::cache::{Inputs, LoadError, Loaded, Loader};
use crate::redact::Redactor;
use crate::workspace::Workspace;

pub use declare::{Command, CommandError};

/// How many commands run at once; a load waits for its turn without counting that as its time.
const AT_ONCE: usize = 4;

/// Loads `command:<name>`: what a declared command writes to its standard output.
///
/// A value is taken to be a function of the declared inputs: the command runs again when one of them has another
/// version, and not because time has passed or something else has changed. What else it reads, it reads at its own
/// risk; a `max_age` says that it does. A command with neither inputs nor a `max_age` is run once, and then again only
/// when its key is invalidated or the value is read at `verified`, which runs it.
///
/// An exit status other than 0 is an error that carries the status and the end of the standard error; so are too much
/// output and too long a time, each of which kills the command with all that it has started in its process group.
/// Secrets are taken out of both, and marks stand in their place.
/// Nothing is said about what a command does elsewhere: it runs with the rights of this process.
#[derive(Debug)]
pub struct CommandLoader {
    workspace: Arc<Workspace>,
    commands: BTreeMap<String, Command>,
    turns: Semaphore,
    /// What is taken out of all that they write.
    redactor: Redactor,
}

impl CommandLoader {
    /// Loads what these commands print, each in a directory below a root of the workspace.
    ///
    /// # Errors
    ///
    /// Fails when a command can not be run as it is declared, two have one name, or their inputs lead in a circle.
    pub fn new(workspace: Arc<Workspace>, commands: Vec<Command>) -> Result<Self, CommandError> {
        let commands = declare::check(&workspace, commands)?;
        let redactor = Redactor::default();
        Ok(Self { workspace, commands, turns: Semaphore::new(AT_ONCE), redactor })
    }

    /// Has it take secrets out of what commands write, before anybody reads it.
    pub fn with_redactor(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    fn declared(&self, key: &Key) -> Result<&Command, LoadError> {
        self.commands.get(key.rest()).ok_or_else(|| LoadError::Denied {
            key: key.clone(),
            reason: format!(
                "no command is declared as `{}`: only what the configuration declares runs",
                key.rest()
            ),
        })
    }

    async fn read(&self, key: &Key, inputs: &Inputs) -> Result<Loaded, LoadError> {
        let command = self.declared(key)?;
        // Before the turn is taken: an input may be a command that needs one too.
        try_join_all(command.inputs.iter().map(|input| inputs.get(input))).await?;
        let dir = self
            .workspace
            .confine(&command.dir)
            .map_err(|denied| LoadError::Denied { key: key.clone(), reason: denied.to_string() })?
            .real;
        let broken = |reason: String| LoadError::Broken { key: key.clone(), reason };
        let _turn = self.turns.acquire().await.map_err(|error| broken(error.to_string()))?;
        let value = run::run(key, command, &dir, &self.redactor).await?;
        Ok(Loaded { value: Some(value), max_age: command.max_age, ..Loaded::default() })
    }

    /// Says why the sources of a command can not be waited for, if they can not.
    fn can_wait(&self, command: &Command) -> Result<(), String> {
        if command.inputs.is_empty() {
            return Err("it declares no inputs to wait for; `verified` runs it".into());
        }
        self.inputs_are_all(command)?;
        command.inputs.iter().try_for_each(|input| match (input.kind(), self.commands.get(input.rest())) {
            ("http", _) => Err(format!("its input `{input}` can not be waited for")),
            ("command", Some(command)) => self.can_wait(command),
            _ => Ok(()),
        })
    }

    /// Says whether the inputs are all that a command reads, so that asking them is asking everything.
    fn inputs_are_all(&self, command: &Command) -> Result<(), String> {
        if command.max_age.is_some() && !command.inputs.is_empty() {
            let name = &command.name;
            return Err(format!(
                "`command:{name}` has a `max_age`, so it reads more than its inputs, which can not be asked; reload it"
            ));
        }
        let commands = command.inputs.iter().filter(|input| input.kind() == "command");
        commands
            .filter_map(|input| self.commands.get(input.rest()))
            .try_for_each(|input| self.inputs_are_all(input))
    }
}

impl Loader for CommandLoader {
    fn name(&self) -> &'static str {
        "command"
    }

    fn default_level(&self) -> Level {
        Level::Fresh
    }

    fn offers(&self, key: &Key, level: Level) -> Result<(), String> {
        // A key that nothing declares is refused by the load, with its own reason.
        let Some(command) = self.commands.get(key.rest()) else { return Ok(()) };
        match level {
            Level::Local | Level::Bounded(_) | Level::Fresh => Ok(()),
            Level::Synced => self.can_wait(command),
            Level::Verified => self.inputs_are_all(command),
        }
    }

    fn load<'a>(&'a self, key: &'a Key, inputs: &'a Inputs) -> BoxFuture<'a, Result<Loaded, LoadError>> {
        self.read(key, inputs).boxed()
    }
}

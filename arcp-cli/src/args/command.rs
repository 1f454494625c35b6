//! A program and its arguments, as one text.

use std::path::Path;
use std::str::FromStr;

use arcp_client::Program;
use rustix::fs::{Access, access};

/// The words of a command line. They are split as a shell does it, and nothing else is done to them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommandArg {
    name: String,
    args: Vec<String>,
}

impl CommandArg {
    pub(crate) fn program(&self) -> Program {
        Program::new(&self.name).args(&self.args)
    }

    /// The name of the program, if it names none that can be started from here: neither by its path nor
    /// in `PATH`.
    pub(crate) fn missing(&self) -> Option<&str> {
        let starts = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
        let there = if self.name.contains('/') {
            starts(Path::new(&self.name))
        } else {
            let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
            std::env::split_paths(&path).any(|folder| starts(&folder.join(&self.name)))
        };
        (!there).then_some(&self.name)
    }
}

impl FromStr for CommandArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = shlex::split(text).ok_or("has a quote that is not closed")?.into_iter();
        let name = words.next().filter(|name| !name.is_empty()).ok_or("must name a program")?;
        Ok(Self { name, args: words.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does_it_and_nothing_is_expanded() {
        let command: CommandArg = r#"python3 -u 'my agents.py' --say "a b" $HOME *"#.parse().unwrap();
        assert_eq!(command.program().to_string(), "python3 -u my agents.py --say a b $HOME *");
        assert_eq!(command.args, ["-u", "my agents.py", "--say", "a b", "$HOME", "*"]);
        for bad in ["", "  ", "'unclosed", "'' x"] {
            assert!(bad.parse::<CommandArg>().is_err(), "{bad}");
        }
    }
}

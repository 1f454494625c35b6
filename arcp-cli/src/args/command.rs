//! A program and its arguments, as one text.

use std::str::FromStr;

use arcp_client::Program;

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

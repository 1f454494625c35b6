//! Figures beside what they should be.

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

impl Target {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// Prints rows as they come, and remembers which targets were missed.
#[derive(Debug, Default)]
pub struct Table {
    missed: Vec<String>,
    group: &'static str,
}

impl Table {
    /// A heading.
    pub fn group(&mut self, name: &'static str) {
        self.group = name;
        println!("\n{name}");
    }

    /// A figure that is only told.
    pub fn tell(&mut self, name: &str, figure: f64) {
        print(name, figure, "", "");
    }

    /// A figure that has a target.
    pub fn check(&mut self, name: &str, figure: f64, target: Target) {
        self.either([(name, figure, target)]);
    }

    /// Figures of which one has to meet its target.
    pub fn either<const N: usize>(&mut self, rows: [(&str, f64, Target); N]) {
        let met = rows.iter().any(|(_, figure, target)| target.is_met(*figure));
        for (at, (name, figure, target)) in rows.iter().enumerate() {
            let words = match target {
                Target::AtLeast(least) => format!("at least {}", number(*least)),
                Target::AtMost(most) => format!("at most {}", number(*most)),
            };
            let words = if at > 0 { format!("or {words}") } else { words };
            let verdict = match (target.is_met(*figure), met) {
                (true, _) => "",
                (false, true) => "(the other)",
                (false, false) => "MISSED",
            };
            print(name, *figure, &words, verdict);
        }
        if !met && let Some((name, ..)) = rows.first() {
            self.missed.push(format!("{}: {name}", self.group));
        }
    }

    /// What was missed.
    pub fn missed(&self) -> &[String] {
        &self.missed
    }
}

fn print(name: &str, figure: f64, target: &str, verdict: &str) {
    let line = format!("  {name:52}{:>12}   {target:22}{verdict}", number(figure));
    println!("{}", line.trim_end());
}

/// Three digits that say something.
fn number(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        1000.0.. => {
            let digits = format!("{figure:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let cases = [(0.0, "0"), (0.214, "0.21"), (9.9, "9.90"), (42.42, "42.4"), (150_000.4, "150,000")];
        for (figure, text) in cases {
            assert_eq!(number(figure), text);
        }
        assert_eq!((number(-1234.0), number(-123_456.0)), ("-1,234".to_owned(), "-123,456".to_owned()));
    }

    #[test]
    fn one_of_two_targets_is_enough_and_a_missed_one_is_remembered() {
        let mut table = Table::default();
        table.group("a");
        table.either([("x", 1.0, Target::AtLeast(2.0)), ("y", 3.0, Target::AtMost(3.0))]);
        assert!(table.missed().is_empty());
        table.check("x", 1.0, Target::AtLeast(2.0));
        table.check("y", f64::NAN, Target::AtMost(3.0));
        assert_eq!(table.missed(), ["a: x", "a: y"]);
    }
}

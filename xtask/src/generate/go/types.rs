//! The file with the types, in the format of gofmt.

use std::{collections::BTreeSet, fmt::Write};

use nats_manager_api::ModuleState;

use super::{GoField, GoStruct, HEADER, imports};

/// The resource itself, which is not in the schema as its metadata is not.
const ROOT: &str = "// NATS is a NATS JetStream cluster that NATS Manager deploys and reconciles.
type NATS struct {
	metav1.TypeMeta   `json:\",inline\"`
	metav1.ObjectMeta `json:\"metadata,omitempty\"`

	Spec   NATSSpec   `json:\"spec,omitzero\"`
	Status NATSStatus `json:\"status,omitzero\"`
}

// NATSList is a list of NATS resources.
type NATSList struct {
	metav1.TypeMeta `json:\",inline\"`
	metav1.ListMeta `json:\"metadata,omitempty\"`

	Items []NATS `json:\"items\"`
}
";

/// Length of a line of a comment.
const WIDTH: usize = 110;

/// Returns the file.
pub(super) fn file(structs: &[GoStruct]) -> String {
    let mut used: BTreeSet<&str> =
        structs.iter().flat_map(|object| &object.fields).filter_map(|field| field.kind.package()).collect();
    used.insert("metav1");
    let mut file = format!("{HEADER}{}", imports(&used));
    file.push_str("// Values of the state in the status.\nconst (\n");
    // gofmt aligns the values.
    let width = ModuleState::ALL.iter().map(|state| state.to_string().len()).max().unwrap_or_default();
    for state in ModuleState::ALL.map(|state| state.to_string()) {
        let _ = writeln!(file, "\tState{state:width$} = \"{state}\"");
    }
    let _ = write!(file, ")\n\n{ROOT}");
    for object in structs {
        let _ = write!(file, "\n{}type {} struct {{\n", comment(&object.description, ""), object.name);
        let fields: Vec<String> = object.fields.iter().map(field).collect();
        let _ = writeln!(file, "{}}}", fields.join("\n"));
    }
    file
}

fn field(field: &GoField) -> String {
    let GoField { name, json, description, is_required, kind } = field;
    let options = if *is_required { "" } else { ",omitempty" };
    format!("{}\t{name} {} `json:\"{json}{options}\"`\n", comment(description, "\t"), kind.text())
}

/// Returns a description as a comment, with its lines wrapped.
fn comment(description: &str, indent: &str) -> String {
    let mut text = String::new();
    for (number, paragraph) in description.split("\n\n").enumerate() {
        if number > 0 {
            let _ = writeln!(text, "{indent}//");
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.len() + word.len() >= WIDTH {
                let _ = writeln!(text, "{indent}//{line}");
                line.clear();
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(text, "{indent}//{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_at_words() {
        let words = "word ".repeat(40);
        let text = comment(&format!("{words}\n\nend"), "\t");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("\t//") && line.len() <= WIDTH + 4), "{text}");
        assert_eq!(lines[lines.len() - 2..], ["\t//", "\t// end"]);
        assert_eq!(text.matches("word").count(), 40);
    }
}

//! The file with the methods that copy the types, as `runtime.Object` requires them.

use std::{collections::BTreeSet, fmt::Write};

use super::{GoStruct, GoType, HEADER, imports};

/// Methods of the resource and its list.
const ROOTS: &str = "// DeepCopyInto copies the resource.
func (in *NATS) DeepCopyInto(out *NATS) {
	*out = *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.DeepCopyInto(&out.Spec)
	in.Status.DeepCopyInto(&out.Status)
}

// DeepCopyInto copies the list.
func (in *NATSList) DeepCopyInto(out *NATSList) {
	*out = *in
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	if in.Items != nil {
		out.Items = make([]NATS, len(in.Items))
		for i := range in.Items {
			in.Items[i].DeepCopyInto(&out.Items[i])
		}
	}
}
";

/// Returns the file.
pub(super) fn file(structs: &[GoStruct]) -> String {
    let fields = structs.iter().flat_map(|object| &object.fields);
    // Only lists and maps are created by their type.
    let created = fields.map(|field| &field.kind).filter(|kind| matches!(kind, GoType::List(_) | GoType::Map(_)));
    let mut used: BTreeSet<&str> = created.filter_map(GoType::package).collect();
    used.insert("runtime");
    let mut file = format!("{HEADER}{}{ROOTS}", imports(&used));
    for name in ["NATS", "NATSList"] {
        file.push_str(&copy_method(name));
        let _ = write!(
            file,
            "\n// DeepCopyObject implements runtime.Object.\nfunc (in *{name}) DeepCopyObject() runtime.Object {{\n\
             \tif in == nil {{\n\t\treturn nil\n\t}}\n\treturn in.DeepCopy()\n}}\n"
        );
    }
    for object in structs {
        let name = &object.name;
        let _ = write!(
            file,
            "\n// DeepCopyInto copies all fields.\nfunc (in *{name}) DeepCopyInto(out *{name}) {{\n\t*out = *in\n"
        );
        for field in &object.fields {
            file.push_str(&field_copy(&field.name, &field.kind));
        }
        file.push_str("}\n");
        file.push_str(&copy_method(name));
    }
    file
}

/// Returns the method `DeepCopy`, which returns `nil` for `nil`.
fn copy_method(name: &str) -> String {
    format!(
        "\n// DeepCopy returns a copy that shares nothing with the original.\nfunc (in *{name}) DeepCopy() *{name} {{\n\
         \tif in == nil {{\n\t\treturn nil\n\t}}\n\tout := new({name})\n\tin.DeepCopyInto(out)\n\treturn out\n}}\n"
    )
}

/// Returns the statements that copy a field which an assignment would share.
fn field_copy(name: &str, kind: &GoType) -> String {
    let text = kind.text();
    let body = match kind {
        // Structs are fields through pointers only.
        GoType::Plain(_) | GoType::Object(_) => return String::new(),
        GoType::Pointer(to) => match &**to {
            GoType::Object(package) if *package == "resource.Quantity" => {
                format!("\t\tcopied := in.{name}.DeepCopy()\n\t\tout.{name} = &copied\n")
            }
            GoType::Object(_) => format!("\t\tout.{name} = in.{name}.DeepCopy()\n"),
            _ => format!("\t\tout.{name} = new({})\n\t\t*out.{name} = *in.{name}\n", to.text()),
        },
        GoType::List(of) => {
            let each = match &**of {
                GoType::Object(_) => {
                    format!(
                        "\t\tfor i := range in.{name} {{\n\t\t\tin.{name}[i].DeepCopyInto(&out.{name}[i])\n\t\t}}\n"
                    )
                }
                _ => format!("\t\tcopy(out.{name}, in.{name})\n"),
            };
            format!("\t\tout.{name} = make({text}, len(in.{name}))\n{each}")
        }
        GoType::Map(of) => {
            let value = if matches!(**of, GoType::Object(_)) { "*value.DeepCopy()" } else { "value" };
            format!(
                "\t\tout.{name} = make({text}, len(in.{name}))\n\t\tfor key, value := range in.{name} {{\n\
                 \t\t\tout.{name}[key] = {value}\n\t\t}}\n"
            )
        }
    };
    format!("\tif in.{name} != nil {{\n{body}\t}}\n")
}

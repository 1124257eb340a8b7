//! Quantities that an update writes in another notation.

use std::collections::BTreeMap;

use crate::{quantity::RawQuantity, resource::NatsSpec, spec_view::SpecView};

/// Returns `old` with each quantity in the notation of `new` if its value does not change. Clients with Go types write
/// every quantity in its canonical notation (`1Gi` for `1024Mi`), which is no change.
pub(super) fn in_notation_of(new: SpecView<'_>, old: SpecView<'_>) -> NatsSpec {
    let mut spec = old.to_spec();
    let (stores, new_stores) = (&mut spec.jet_stream, &new.jet_stream);
    adopt(&mut stores.mem_storage.size, &new_stores.mem_storage.size);
    if let (Some(old), Some(new)) = (&mut stores.file_storage.size, &new_stores.file_storage.size) {
        adopt(old, new);
    }
    adopt_all(spec.resources.limits.as_mut(), new.resources.limits.as_ref());
    adopt_all(spec.resources.requests.as_mut(), new.resources.requests.as_ref());
    spec
}

fn adopt_all(old: Option<&mut BTreeMap<String, RawQuantity>>, new: Option<&BTreeMap<String, RawQuantity>>) {
    for (name, quantity) in old.into_iter().flatten() {
        if let Some(new) = new.and_then(|new| new.get(name)) {
            adopt(quantity, new);
        }
    }
}

/// Replaces a quantity with one of the same value. `0` does not replace `"0"`: they differ for the memory store.
fn adopt(old: &mut RawQuantity, new: &RawQuantity) {
    if old.has_value_of(new) && !(new.is_integer && new.is_zero()) {
        old.clone_from(new);
    }
}

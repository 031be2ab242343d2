//! What a tenant forgets: cells, situations and names whose time is over. One pass over all of them, once an hour.

use std::collections::BTreeSet;

use super::Tenant;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::portrait::asn_name_id;

impl Tenant {
    /// Forgets what has faded, and the names that nobody needs any more; `id` is the tenant's own.
    pub fn forget(&mut self, id: Id, now: Millis) {
        self.touched.extend(self.cells.forget(now));
        self.know_services();
        self.surfaces.forget(now);
        self.causes.forget(now, |cell| self.cells.get(cell).is_some());
        self.operations.forget(now);
        let mut used: BTreeSet<Id> = self.surfaces.names().chain(self.causes.sites()).chain([id]).collect();
        used.extend(self.operations.names());
        for (key, cell) in self.cells.iter() {
            used.extend([key.tenant, key.service, key.site, key.route]);
            used.extend(cell.releases.iter().chain(cell.scopes.iter()).chain(cell.agents.iter()).map(|(id, _)| Id(id)));
            used.extend(cell.classes.iter().map(|(id, _)| Id(id)));
            used.extend(cell.asns.iter().map(|(asn, _)| asn_name_id(asn)));
        }
        self.names.keep(&used);
    }
}

//! Routes that the operator declares idempotent: their requests may be sent twice although their method does not say so.
//!
//! Reads an [`Observation`] and the declarations of the configuration; says whether one covers it. A declaration is the
//! operator's word, and the retry gate believes it before it asks for a key. Costs one comparison a declaration for each
//! event; without declarations nothing.

use crate::pipeline::expected::route_fits;
use crate::pipeline::observation::Observation;

/// Most declarations in force: each event is held against each.
pub const DECLARATIONS_MAX: usize = 64;

/// Routes of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Service, by its name.
    pub service: String,
    /// Routes as reports show them; one that ends in `*` stands for all that begin so.
    pub routes: Vec<String>,
}

/// All declarations of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared(Vec<Declaration>);

impl Declared {
    /// The declarations; those beyond [`DECLARATIONS_MAX`] are left out.
    pub fn new(mut declarations: Vec<Declaration>) -> Self {
        declarations.truncate(DECLARATIONS_MAX);
        Self(declarations)
    }

    /// Whether the event's route is declared idempotent.
    pub fn covers(&self, o: &Observation<'_>) -> bool {
        self.0.iter().any(|declared| {
            declared.service == o.service && declared.routes.iter().any(|route| route_fits(route, &o.route))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::cell::testing::{event, key};

    #[test]
    fn a_declaration_covers_its_routes_of_its_service_alone() {
        let declared = Declared::new(vec![Declaration {
            service: "api".to_owned(),
            routes: vec!["POST /v1/quote".to_owned(), "POST /v1/search*".to_owned()],
        }]);
        let check = |service: &'static str, route: &'static str, expected: bool| {
            let mut o = event(1, key(1, 1, 1, 1));
            (o.service, o.route) = (service.into(), route.into());
            assert_eq!(declared.covers(&o), expected, "{service} {route}");
        };
        check("api", "POST /v1/quote", true);
        check("api", "POST /v1/search/items", true);
        check("api", "POST /v1/quotes", false);
        check("api", "PUT /v1/quote", false);
        check("other", "POST /v1/quote", false);
        assert!(!Declared::default().covers(&event(1, key(1, 1, 1, 1))));
    }
}

//! The outlet: looks at the server before it writes, then sends and reads what became of the alerts.
//!
//! Before the first request of a lane, and again after everything that went wrong there (a hold, a server that was away
//! and may have come back empty, an alert that was put aside), two small questions are asked: see [`super::look`]. Where
//! the data stream is not prepared the lane is on hold and says which command mends it; the next probe looks again. So
//! an alert never makes a plain index, but for a template that is deleted together with its stream while all goes well:
//! then the first alert that the plain index took is told as degraded, and the lane stops there.
//!
//! Costs two requests a look, none while all goes well.

use super::look::{self, Found, Namesake};
use super::{ElasticSettings, ElasticWire, TemplateCheck, TemplateNames};
use crate::edge::deliver::{Fate, HttpClient, Outlet, Reading, Sending, Wire as _, Word};
use crate::pipeline::alert::Alert;

/// A lane's end at Elasticsearch or OpenSearch.
pub struct ElasticOutlet {
    /// Name of the destination, for the command that mends a missing template.
    name: String,
    client: HttpClient,
    wire: ElasticWire,
    names: TemplateNames,
    check: TemplateCheck,
    must_look: bool,
}

impl ElasticOutlet {
    /// An outlet of the destination `name`; sends nothing yet.
    pub fn new(name: impl Into<String>, client: HttpClient, settings: &ElasticSettings, check: TemplateCheck) -> Self {
        Self {
            name: name.into(),
            client,
            wire: ElasticWire::new(settings),
            names: TemplateNames::of(&settings.data_stream),
            check,
            must_look: true,
        }
    }

    async fn deliver(&mut self, alerts: &[Alert]) -> Reading {
        if self.must_look && self.check == TemplateCheck::Required {
            match look_at(&self.client, &self.names).await {
                Ok(Found::Ready) => {}
                Ok(Found::Older(version)) => tracing::warn!(
                    destination = self.name,
                    version,
                    "the index template is of an earlier version, new fields are not indexed; {}",
                    self.command()
                ),
                Ok(Found::Missing(why)) => return Reading::Hold { why: format!("{why}; {}", self.command()) },
                Ok(Found::InTheWay(why)) => return Reading::Hold { why },
                Err(reading) => return reading,
            }
        }
        let request = self.wire.encode(alerts);
        let reading = self.client.deliver(&request, |reply| self.wire.read(reply, alerts.len())).await;
        self.must_look = calls_for_a_look(&reading);
        reading
    }

    fn command(&self) -> String {
        format!("mend it with: panicsift setup elastic --config FILE --destination {}", self.name)
    }
}

impl Outlet for ElasticOutlet {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(self.deliver(alerts))
    }
}

/// Asks the server both questions.
pub(super) async fn look_at(client: &HttpClient, names: &TemplateNames) -> Result<Found, Reading> {
    let reply = client.exchange(&look::templates()).await?;
    let found = look::read_templates(&reply, names)?;
    if !matches!(found, Found::Ready | Found::Older(_)) {
        return Ok(found);
    }
    let namesake = look::read_namesake(&client.exchange(&look::namesake(names)).await?, names);
    Ok(if namesake == Namesake::Index { look::index_in_the_way(names) } else { found })
}

/// Whether the server may no longer be what it was when we looked. Overload does not count: looking would add to it.
fn calls_for_a_look(reading: &Reading) -> bool {
    match reading {
        Reading::Hold { .. } => true,
        Reading::Retry { slow_down, .. } => !slow_down,
        Reading::Words(said) => said.iter().any(|word| matches!(word, Word::Hold(_) | Word::Final(Fate::Degraded, _))),
        Reading::Accepted { .. } | Reading::Pending { .. } | Reading::Poison { .. } | Reading::TooLarge { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reading: &Reading, expected: bool) {
        assert_eq!(calls_for_a_look(reading), expected, "{reading:?}");
    }

    #[test]
    fn whatever_may_have_changed_the_server_calls_for_a_look_and_overload_does_not() {
        let retry = |slow_down| Reading::Retry { why: String::new(), after: None, slow_down };
        let delivered = || Word::Final(Fate::Delivered, String::new());
        check(&Reading::Hold { why: String::new() }, true);
        check(&retry(false), true);
        check(&retry(true), false);
        check(&Reading::TooLarge { why: String::new() }, false);
        check(&Reading::Words(vec![delivered(), Word::Final(Fate::Repeated, String::new())]), false);
        check(&Reading::Words(vec![delivered(), Word::Overloaded(String::new())]), false);
        check(&Reading::Words(vec![delivered(), Word::Hold(String::new())]), true);
        check(&Reading::Words(vec![Word::Final(Fate::Degraded, String::new()), delivered()]), true);
    }
}

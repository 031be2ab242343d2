//! The learned normal: what others send at a place, and how surprising something new there is.
//!
//! A [`Profile`] stands for one place (a route, or one field path of a route) and remembers, per category of thing
//! (kind, size, pattern, shape, site, …), which things were seen there and by whom, as short keyed hashes. The surprise
//! of a thing that nobody else sent is Good and Turing's: the rarer it is that somebody brings something new here, the
//! more bits. So free text surprises nobody, and a fixed vocabulary does.
//!
//! Each sender counts once, however much it sends; nobody ever counts for itself; who is suspect counts for nobody
//! ([`Trust`]), whenever it became so. Fewer than [`OTHERS_MIN`] others: no surprise at all, which is the warm-up.
//! What one was surprised by is on loan: when two others bring the same thing, the points go back ([`Refund`]).
//!
//! Requests that did not panic are learned too ([`Profile::learn`]), by a crowd of their own: they surprise nobody, and
//! nobody becomes known for what it panics with by having sent it before. They make at most [`ORDINARY_PROFILES_MAX`]
//! places, so that routes that never panic leave room for those that do.
//!
//! Keeps no value, no name, no clock. Bounds: [`PROFILES_MAX`] places, [`THINGS_MAX`] things a place; what has only one
//! sender is forgotten first. Cost: one hash look-up a place and one binary search a thing.

use serde::{Deserialize, Serialize};

use super::by_id::{IdMap, ShortSet};
use super::observe::SITES;
use crate::pipeline::event::Id;
use crate::pipeline::observation::Actor;

/// Places that are remembered. With all their things full: some 30 MB; in life some 3 MB.
const PROFILES_MAX: usize = 8_192;
/// Places beyond which requests that did not panic make no new ones.
const ORDINARY_PROFILES_MAX: usize = PROFILES_MAX / 2;
/// Things remembered a place, over all categories.
const THINGS_MAX: usize = 64;
/// Senders remembered by name a thing: enough to know that three others have it.
const SENDERS_MAX: usize = 4;
/// Others that make a thing ordinary whether they are suspect or not: otherwise a bad release, where the first few
/// look odd, would make suspects of all who follow.
const ORDINARY_AT: usize = 3;
/// Trusted others that make a thing known by requests that did not panic: one alone could teach anything without being
/// looked at, since nobody is judged by what was served.
const PASSERS_MIN: usize = 2;
/// Others that a place must have seen before it can be surprised: with fewer, "new" only means "early".
pub const OTHERS_MIN: u32 = 3;
/// Categories a place keeps apart.
const CATEGORIES: usize = 8;
/// The most that one surprise can say, in hundredths of a bit: beyond 2^-8 the estimate is the sample's size.
pub const SURPRISE_MAX_CENTIBITS: u16 = 800;

/// Who sends: short keyed hashes, good enough to tell a few senders of one thing apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Of the actor.
    pub actor: u32,
    /// Of the source prefix: a second token behind the same address is no independent witness.
    pub prefix: u16,
}

impl Sender {
    fn is_other(self, than: Self) -> bool {
        self.actor != than.actor && self.prefix != than.prefix
    }
}

/// A distinct count of senders, in 64 bits (linear counting; right to some 10 % up to 150, then it saturates).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Crowd(u64);

impl Crowd {
    /// Adds somebody; whether the bit is new.
    pub fn add(&mut self, hash: u32) -> bool {
        let before = self.0;
        self.0 |= Self::bit(hash);
        before != self.0
    }

    /// About how many there are.
    pub fn count(self) -> u32 {
        Self::estimate(self.0.count_ones())
    }

    /// About how many there are beside one.
    pub fn others(self, than: u32) -> u32 {
        Self::estimate((self.0 & !Self::bit(than)).count_ones())
    }

    /// Both together.
    #[must_use]
    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Puts another crowd's members in.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn bit(hash: u32) -> u64 {
        1 << (hash.wrapping_mul(0x9E37_79B1) >> 26)
    }

    /// `-64 ln(1 - ones/64)`, rounded; a full set counts as one bit short of full.
    fn estimate(ones: u32) -> u32 {
        const BY_ONES: [u16; 65] = [
            0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 23, 24, 25, 27, 29, 30, 32, 33, 35, 37,
            39, 40, 42, 44, 46, 48, 51, 53, 55, 58, 60, 63, 65, 68, 71, 74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119,
            125, 133, 142, 151, 163, 177, 196, 222, 266, 266,
        ];
        let index = usize::try_from(ones).unwrap_or(usize::MAX);
        BY_ONES.get(index).copied().map_or(266, u32::from)
    }
}

/// Senders whose word does not count, by the hash of the actor.
#[derive(Debug, Default)]
pub struct Trust {
    suspects: ShortSet,
}

impl Trust {
    /// From now on these do not count, and only these.
    pub fn distrust(&mut self, suspects: impl Iterator<Item = u32>) {
        self.suspects = suspects.collect();
    }

    /// Whether the word of a sender counts.
    pub fn counts(&self, sender: Sender) -> bool {
        self.suspects.is_empty() || !self.suspects.contains(&sender.actor)
    }
}

/// Points that were lent for something new, to give back when it turns out to be ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// Who got them.
    pub actor: Actor,
    /// Which sum they went to.
    pub sum: u8,
    /// How much, in hundredths of a bit.
    pub centibits: u16,
}

/// A loan that is called back.
pub type Refund = Loan;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Thing {
    token: u32,
    senders: [Option<Sender>; SENDERS_MAX],
    /// Bits of `senders`: those that sent it in requests that did not panic, and never yet in one that did.
    ordinary: u8,
    loan: Option<Loan>,
}

impl Thing {
    /// Others, and whether they panicked with it.
    fn others(&self, than: Sender) -> impl Iterator<Item = (&Sender, bool)> {
        let senders = self.senders.iter().enumerate().filter_map(|(at, sender)| Some((at, sender.as_ref()?)));
        let others = senders.filter(move |(_, sender)| sender.is_other(than));
        others.map(|(at, sender)| (sender, self.ordinary & (1 << at) == 0))
    }

    /// Whether a trusted other panicked with it, or enough trusted ones that did not, or enough of any that did.
    fn known_by_others(&self, trust: &Trust, than: Sender) -> bool {
        let (mut n_panicked, mut n_passed) = (0, 0);
        for (sender, panicked) in self.others(than) {
            let counts = trust.counts(*sender);
            if panicked && counts {
                return true;
            }
            n_panicked += usize::from(panicked);
            n_passed += usize::from(counts);
        }
        n_passed >= PASSERS_MIN || n_panicked >= ORDINARY_AT
    }

    /// Others that panicked with it, trusted or not.
    fn n_panicked(&self, than: Sender) -> usize {
        self.others(than).filter(|(_, panicked)| *panicked).count()
    }

    /// Whether two trusted others than its first sender, or enough of any that panicked, have it.
    fn is_ordinary(&self, trust: &Trust) -> bool {
        let Some(first) = self.senders.first().copied().flatten() else { return false };
        let trusted = self.others(first).filter(|(sender, _)| trust.counts(**sender)).count();
        trusted >= 2 || self.n_panicked(first) >= ORDINARY_AT
    }

    /// Where a sender stands among the senders.
    fn at(&self, who: Sender) -> Option<usize> {
        self.senders.iter().position(|sender| sender.is_some_and(|sender| sender.actor == who.actor))
    }

    /// Notes a panicking sender, in the place of one that did not panic where there is no other; whether it is the first
    /// time that it panics with it, as far as is remembered.
    fn note(&mut self, who: Sender) -> bool {
        let known = self.at(who);
        let is_ordinary = |at: &usize| self.ordinary & (1 << at) != 0;
        let free = || self.senders.iter().position(Option::is_none);
        let Some(at) = known.or_else(free).or_else(|| (0..SENDERS_MAX).find(is_ordinary)) else { return true };
        let first_time = known.is_none_or(|at| is_ordinary(&at));
        if let Some(slot) = self.senders.get_mut(at).filter(|_| known.is_none()) {
            *slot = Some(who);
        }
        self.ordinary &= !(1 << at);
        first_time
    }

    /// Notes a sender whose request did not panic; whether it is new.
    fn note_ordinary(&mut self, who: Sender) -> bool {
        let free = self.senders.iter().position(Option::is_none).filter(|_| self.at(who).is_none());
        if let Some((at, slot)) = free.and_then(|at| Some((at, self.senders.get_mut(at)?))) {
            *slot = Some(who);
            self.ordinary |= 1 << at;
        }
        free.is_some()
    }

    fn is_shared(&self) -> bool {
        matches!(self.senders, [Some(first), Some(second), ..] if first.is_other(second))
    }
}

/// What is known of one place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Profile {
    crowd: Crowd,
    /// Who was here without a panic.
    passers: Crowd,
    /// By category: who ever was the first to bring something.
    pioneers: [Crowd; CATEGORIES],
    /// Sorted by token.
    things: Vec<Thing>,
    /// The tokens of `things`, close together: a search reads these alone.
    #[serde(skip)]
    tokens: Vec<u32>,
    /// Waits to be stored.
    #[serde(skip)]
    changed: bool,
}

/// What a place says of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surprise {
    /// Hundredths of a bit; 0 where others sent it too, or where too few others are known.
    pub centibits: u16,
    /// The sender brings it for the first time.
    pub first_time: bool,
}

/// One thing at a place.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Category, from 0 to 7.
    pub category: u8,
    /// What it is: a keyed hash.
    pub token: u64,
}

impl Item {
    fn short(self) -> u32 {
        let mixed = (self.token ^ (u64::from(self.category) << 56)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        u32::try_from(mixed >> 32).unwrap_or(u32::MAX)
    }
}

impl Profile {
    /// Weighs `item` against what others sent, then remembers that `who` sent it. A loan that this calls back is
    /// pushed on `refunds`.
    pub fn weigh(&mut self, item: Item, who: Sender, trust: &Trust, refunds: &mut Vec<Refund>) -> Surprise {
        let token = item.short();
        match self.tokens.binary_search(&token) {
            Ok(at) => {
                let Some(thing) = self.things.get_mut(at) else { return Surprise::default() };
                let known = thing.known_by_others(trust, who);
                let first_time = thing.note(who);
                if first_time && thing.loan.is_some() && thing.is_ordinary(trust) {
                    refunds.extend(thing.loan.take());
                }
                let centibits = if known { 0 } else { self.novelty(item.category, who) };
                Surprise { centibits, first_time }
            }
            Err(at) => {
                let centibits = self.novelty(item.category, who);
                self.bring((at, token), item.category, who, 0);
                Surprise { centibits, first_time: true }
            }
        }
    }

    /// Remembers that `who` sent `item` in a request that did not panic. A loan that this calls back is pushed on
    /// `refunds`.
    pub fn learn(&mut self, item: Item, who: Sender, trust: &Trust, refunds: &mut Vec<Refund>) {
        let token = item.short();
        match self.tokens.binary_search(&token) {
            Ok(at) => {
                let Some(thing) = self.things.get_mut(at) else { return };
                if thing.note_ordinary(who) && thing.loan.is_some() && thing.is_ordinary(trust) {
                    refunds.extend(thing.loan.take());
                }
            }
            Err(at) => self.bring((at, token), item.category, who, 1),
        }
    }

    /// Enters a thing that nobody sent before, if there is room; `at` is its place by its token.
    fn bring(&mut self, (at, token): (usize, u32), category: u8, who: Sender, ordinary: u8) {
        if let Some(pioneers) = self.pioneers.get_mut(usize::from(category)) {
            pioneers.add(who.actor);
        }
        if self.things.len() >= THINGS_MAX {
            self.things.retain(Thing::is_shared);
            self.index();
        }
        if self.things.len() < THINGS_MAX {
            let at = at.min(self.tokens.partition_point(|known| *known < token));
            self.tokens.insert(at, token);
            self.things.insert(at, Thing { token, senders: [Some(who), None, None, None], ordinary, loan: None });
        }
    }

    /// Notes that the points for `item` were lent.
    pub fn lend(&mut self, item: Item, loan: Loan) {
        let token = item.short();
        if let Ok(at) = self.tokens.binary_search(&token)
            && let Some(thing) = self.things.get_mut(at)
        {
            thing.loan.get_or_insert(loan);
        }
    }

    /// Makes `tokens` anew.
    fn index(&mut self) {
        self.tokens.clear();
        self.tokens.extend(self.things.iter().map(|thing| thing.token));
    }

    /// `who` was here.
    pub fn visit(&mut self, who: Sender) {
        self.crowd.add(who.actor);
    }

    /// `who` was here without a panic.
    pub fn pass_by(&mut self, who: Sender) {
        self.passers.add(who.actor);
    }

    /// All who were here.
    fn visitors(&self) -> Crowd {
        self.crowd.with(self.passers)
    }

    /// Whether too few have been here for it to surprise anybody.
    fn is_lonely(&self) -> bool {
        self.visitors().count() < OTHERS_MIN
    }

    /// Good and Turing: how rare it is that somebody brings something new here.
    fn novelty(&self, category: u8, who: Sender) -> u16 {
        // Nobody reaches a panic site without a panic.
        let crowd = if category == SITES { self.crowd } else { self.visitors() };
        let others = crowd.others(who.actor);
        if others < OTHERS_MIN {
            return 0;
        }
        let pioneers = self.pioneers.get(usize::from(category)).map_or(0, |crowd| crowd.others(who.actor));
        centibits(2 * pioneers.min(others) + 1, 2 * others + 2)
    }
}

/// `-log2(part / whole)` in hundredths, at least 0, at most [`SURPRISE_MAX_CENTIBITS`].
pub fn centibits(part: u32, whole: u32) -> u16 {
    let bits = f64::from(whole.max(1)).log2() - f64::from(part.max(1)).log2();
    let rounded = (bits * 100.0).round().clamp(0.0, f64::from(SURPRISE_MAX_CENTIBITS));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=800 and rounded")]
    let centibits = rounded as u16;
    centibits
}

/// All places.
#[derive(Debug, Default)]
pub struct Normal {
    profiles: IdMap<Profile>,
    /// Places that changed; some may stand twice.
    changed: Vec<Id>,
    /// Places that fewer than [`OTHERS_MIN`] had been to when they were last looked at: all that can be forgotten.
    maybe_lonely: Vec<Id>,
}

impl Normal {
    /// The profile of a place, made when it is new; `None` when there is no room for another.
    pub fn at(&mut self, place: Id) -> Option<&mut Profile> {
        if self.profiles.len() >= PROFILES_MAX && !self.profiles.contains_key(&place) {
            self.forget_lonely();
            if self.profiles.len() >= PROFILES_MAX {
                return None;
            }
        }
        let maybe_lonely = &mut self.maybe_lonely;
        let profile = self.profiles.entry(place).or_insert_with(|| {
            maybe_lonely.push(place);
            Profile::default()
        });
        if !profile.changed {
            profile.changed = true;
            self.changed.push(place);
        }
        Some(profile)
    }

    /// The same for a request that did not panic: it makes no place where too many are known.
    pub fn at_ordinary(&mut self, place: Id) -> Option<&mut Profile> {
        let room = self.profiles.len() < ORDINARY_PROFILES_MAX || self.profiles.contains_key(&place);
        if room { self.at(place) } else { None }
    }

    /// Drops every place that fewer than [`OTHERS_MIN`] senders have been to: it could not surprise anyway, and a flood
    /// of invented field names is made of these. Crowds only grow, so each place is looked at once.
    fn forget_lonely(&mut self) {
        for place in std::mem::take(&mut self.maybe_lonely) {
            if self.profiles.get(&place).is_some_and(Profile::is_lonely)
                && self.profiles.remove(&place).is_some_and(|profile| !profile.changed)
            {
                self.changed.push(place);
            }
        }
    }

    /// Places that changed since the last call, with their profile; `None` where it is gone.
    pub fn take_changed(&mut self) -> Vec<(Id, Option<&Profile>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for place in &changed {
            if let Some(profile) = self.profiles.get_mut(place) {
                profile.changed = false;
            }
        }
        changed.into_iter().map(|place| (place, self.profiles.get(&place))).collect()
    }

    /// Puts back a profile that was kept.
    pub fn restore(&mut self, place: Id, mut profile: Profile) {
        profile.things.truncate(THINGS_MAX);
        profile.things.sort_unstable_by_key(|thing| thing.token);
        profile.index();
        if self.profiles.len() < PROFILES_MAX {
            if profile.is_lonely() {
                self.maybe_lonely.push(place);
            }
            self.profiles.insert(place, profile);
        }
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether nothing was learned yet.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }
}

//! Whom the events of each token are for. It knows sessions and endpoints by number.

use mio::Token;

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ends the poll's sleep when something is due.
    Alarm,
    /// Accepts clients.
    Listener,
    /// Accepts connections from the proxy itself to the demo platform.
    DemoListener,
    /// A signal to stop has come.
    StopSignal,
    /// A signal to reload the configuration has come.
    ReloadSignal,
    /// A session's client.
    Client(usize),
    /// A session's upstream, or a dial for one.
    Upstream(usize),
    /// An idle connection to this endpoint.
    Idle(usize),
}

/// The owners of all tokens, in four bytes each. An event can do nothing before its owner has been read: with a thousand
/// streams, the 16 bytes that each entry of a slab takes were no longer in the processor's cache by then, which took some
/// 240 cycles of each event.
#[derive(Default)]
pub struct Owners {
    entries: Vec<Entry>,
    /// Entries of tokens that are free, the one that is used next last.
    free: Vec<u32>,
}

/// A kind, and a number below it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

const NUMBER_BITS: u32 = 28;

const NUMBERS: u32 = 1 << NUMBER_BITS;

impl Owners {
    /// A token for `owner`.
    ///
    /// # Panics
    /// There are 2^28 tokens.
    pub fn insert(&mut self, owner: Owner) -> Token {
        let entry = Entry::of(Some(owner));
        if let Some(place) = self.free.pop() {
            self.entries[place as usize] = entry;
            return Token(place as usize);
        }
        let place = self.entries.len();
        assert!(place < NUMBERS as usize, "each has a descriptor");
        self.entries.push(entry);
        Token(place)
    }

    /// The owner of `token`, if it has one.
    pub fn get(&self, token: Token) -> Option<Owner> {
        self.entries.get(token.0)?.owner()
    }

    /// Gives `token` to another owner.
    ///
    /// # Panics
    /// It has none.
    pub fn pass_on(&mut self, token: Token, owner: Owner) {
        assert!(self.get(token).is_some(), "it has not been removed");
        self.entries[token.0] = Entry::of(Some(owner));
    }

    /// Frees `token`.
    ///
    /// # Panics
    /// It is free.
    pub fn remove(&mut self, token: Token) {
        assert!(self.get(token).is_some(), "it has not been removed");
        self.entries[token.0] = Entry::of(None);
        self.free.push(token.0 as u32);
    }

    /// How many tokens have an owner.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    fn of(owner: Option<Owner>) -> Entry {
        let (kind, number) = match owner {
            None => (0, 0),
            Some(Owner::Listener) => (1, 0),
            Some(Owner::DemoListener) => (2, 0),
            Some(Owner::StopSignal) => (3, 0),
            Some(Owner::ReloadSignal) => (4, 0),
            Some(Owner::Client(session)) => (5, session),
            Some(Owner::Upstream(session)) => (6, session),
            Some(Owner::Idle(endpoint)) => (7, endpoint),
            Some(Owner::Alarm) => (8, 0),
        };
        let number = u32::try_from(number).ok().filter(|it| *it < NUMBERS);
        Entry(kind << NUMBER_BITS | number.expect("so many of one kind do not fit in memory"))
    }

    fn owner(self) -> Option<Owner> {
        let number = (self.0 % NUMBERS) as usize;
        match self.0 >> NUMBER_BITS {
            1 => Some(Owner::Listener),
            2 => Some(Owner::DemoListener),
            3 => Some(Owner::StopSignal),
            4 => Some(Owner::ReloadSignal),
            5 => Some(Owner::Client(number)),
            6 => Some(Owner::Upstream(number)),
            7 => Some(Owner::Idle(number)),
            8 => Some(Owner::Alarm),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_the_owner_that_it_was_given_last() {
        let most = NUMBERS as usize - 1;
        let given = [
            Owner::Alarm,
            Owner::Listener,
            Owner::DemoListener,
            Owner::StopSignal,
            Owner::ReloadSignal,
            Owner::Client(0),
            Owner::Client(most),
            Owner::Upstream(1),
            Owner::Upstream(most),
            Owner::Idle(2),
            Owner::Idle(most),
        ];
        let mut owners = Owners::default();
        assert!(owners.is_empty());
        let tokens = given.map(|owner| owners.insert(owner));
        assert_eq!(tokens.map(|token| owners.get(token)), given.map(Some));
        assert_eq!(owners.len(), given.len());
        owners.pass_on(tokens[5], Owner::Upstream(9));
        assert_eq!(owners.get(tokens[5]), Some(Owner::Upstream(9)));
        for free in [5, 8] {
            owners.remove(tokens[free]);
            assert_eq!(owners.get(tokens[free]), None);
        }
        assert_eq!(owners.len(), given.len() - 2);
        // Those that were freed are used again before there are more.
        let again = [8, 5].map(|free| (owners.insert(Owner::Idle(free)), tokens[free]));
        for (token, former) in again {
            assert_eq!(token, former);
        }
        assert_eq!(owners.get(tokens[8]), Some(Owner::Idle(8)));
        assert_eq!(owners.insert(Owner::Listener), Token(given.len()));
        assert_eq!(owners.get(Token(usize::MAX)), None);
    }

    #[test]
    #[should_panic(expected = "it has not been removed")]
    fn a_token_is_freed_once() {
        let mut owners = Owners::default();
        let token = owners.insert(Owner::Client(0));
        owners.remove(token);
        owners.remove(token);
    }
}

//! A request kept to be sent again: its head and what has arrived of its body, in the form in which they are sent. It
//! is stored in blocks of the pool, so that a growing body is not copied, and needs no large piece of memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use crate::base::buffer::{BUFFER_BYTES, BlockPool, Buffer};

use super::transfer::{ROOM_MIN, Sink};

/// The last quarter of the memory is left to bodies of this size: those of most requests, which would otherwise lose
/// their retries to few large ones.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// The memory of all bodies kept for retries, and its bound.
#[derive(Debug)]
pub struct RetryMemory {
    used: Rc<Cell<u64>>,
    pub max: u64,
}

impl RetryMemory {
    pub fn new(max: u64) -> RetryMemory {
        RetryMemory {
            used: Rc::default(),
            max,
        }
    }

    /// The bytes of all bodies that are kept now.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Whether this many more may be kept of a body that then has `total` bytes; zero bytes always may.
    pub fn has_room(&self, bytes: u64, total: u64) -> bool {
        let max = match total > SMALL_BYTES_MAX {
            true => self.max / 4 * 3,
            false => self.max,
        };
        bytes == 0 || self.used() + bytes <= max
    }
}

/// A head and the beginning of a body. The body is counted as long as it is stored, whatever ends that.
pub struct Kept {
    /// The first block, which begins with the head.
    first: Buffer,
    /// Further blocks: each is there only if all before it are full.
    others: Vec<Buffer>,
    head_end: usize,
    end: usize,
    /// How much has been handed on in the present try.
    sent_end: usize,
    counted: Rc<Cell<u64>>,
}

impl Kept {
    /// A request of which only the head is there, `BUFFER_BYTES` at most.
    pub fn new(head: &[u8], blocks: &mut BlockPool, memory: &RetryMemory) -> Kept {
        let mut first = Buffer::default();
        first.enlarge(head.len(), blocks);
        first.put(head);
        Kept {
            first,
            others: Vec::new(),
            head_end: head.len(),
            end: head.len(),
            sent_end: head.len(),
            counted: Rc::clone(&memory.used),
        }
    }

    /// Writes the head with the key's `lines`; the body is to be handed on from its beginning.
    pub fn begin_try(&mut self, lines: &[u8], output: &mut Buffer) {
        output.put(&self.first.unread()[..self.head_end]);
        output.put(lines);
        output.put(b"\r\n");
        self.sent_end = self.head_end;
    }

    /// Whether all that is here has been handed on.
    pub fn is_sent(&self) -> bool {
        self.sent_end == self.end
    }

    /// Hands on what `output` has room for.
    pub fn hand_on(&mut self, output: &mut Buffer) {
        loop {
            let count = output.append(self.piece(self.sent_end));
            if count == 0 {
                return;
            }
            self.sent_end += count;
        }
    }

    /// The body, in one piece.
    pub fn body(&self) -> Cow<'_, [u8]> {
        let first = self.piece(self.head_end);
        let mut body = Cow::from(first);
        let mut at = self.head_end + first.len();
        while at < self.end {
            let piece = self.piece(at);
            body.to_mut().extend_from_slice(piece);
            at += piece.len();
        }
        body
    }

    /// Adds to the body.
    pub fn put(&mut self, mut bytes: &[u8], blocks: &mut BlockPool) {
        self.counted.set(self.counted.get() + bytes.len() as u64);
        while !bytes.is_empty() {
            let (place, used) = (self.end / BUFFER_BYTES, self.end % BUFFER_BYTES);
            if place > self.others.len() {
                self.others.push(Buffer::default());
            }
            let last = self.others.last_mut().unwrap_or(&mut self.first);
            let (fits, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES - used));
            last.enlarge(used + fits.len(), blocks);
            last.put(fits);
            self.end += fits.len();
            bytes = rest;
        }
    }

    /// Forgets the body, which has been handed on.
    pub fn drop_body(&mut self, blocks: &mut BlockPool) {
        for mut buffer in self.others.drain(..) {
            buffer.close(blocks);
        }
        self.first.truncate(self.head_end);
        self.uncount();
    }

    /// Gives all memory back.
    pub fn clear(&mut self, blocks: &mut BlockPool) {
        self.drop_body(blocks);
        self.first.close(blocks);
        (self.head_end, self.end, self.sent_end) = (0, 0, 0);
    }

    fn uncount(&mut self) {
        let body_bytes = (self.end - self.head_end) as u64;
        self.counted.set(self.counted.get() - body_bytes);
        (self.end, self.sent_end) = (self.head_end, self.head_end);
    }

    /// The contiguous bytes from this offset on.
    fn piece(&self, from: usize) -> &[u8] {
        let (place, offset) = (from / BUFFER_BYTES, from % BUFFER_BYTES);
        let length = (self.end - from).min(BUFFER_BYTES - offset);
        match place {
            _ if length == 0 => &[],
            0 => &self.first.unread()[offset..offset + length],
            place => &self.others[place - 1].unread()[offset..offset + length],
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.uncount();
    }
}

/// A kept body while it grows, and the output to the platform, if there is one.
pub struct Keeper<'k> {
    pub kept: &'k mut Kept,
    pub blocks: &'k mut BlockPool,
    pub output: Option<&'k mut Buffer>,
}

impl Sink for Keeper<'_> {
    /// There is always room: whether the body has outgrown its bound is checked between transfers.
    fn room(&self) -> usize {
        ROOM_MIN * 8
    }

    fn put(&mut self, bytes: &[u8]) {
        self.kept.put(bytes, self.blocks);
    }

    /// Bytes that are the next to be handed on go to the output without a further copy.
    fn take(&mut self, input: &mut Buffer, count: usize) {
        let is_next = self.kept.is_sent();
        self.put(&input.unread()[..count]);
        match &mut self.output {
            Some(output) if is_next && count <= output.room() => {
                output.take(input, count);
                self.kept.sent_end += count;
            }
            Some(_) | None => input.consume(count),
        }
    }
}

#[cfg(test)]
impl Kept {
    /// The memory that it holds.
    pub fn held_bytes(&self) -> usize {
        let others = self.others.iter().map(|buffer| buffer.capacity());
        self.first.capacity() + others.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{buffer, drain};

    /// Sends what is kept from its beginning; `room` is what the platform takes at a time.
    fn sent(kept: &mut Kept, room: usize) -> Vec<u8> {
        let mut output = buffer(b"");
        kept.begin_try(b"k\r\n", &mut output);
        let mut sent = drain(&mut output);
        while !kept.is_sent() {
            output.put(&vec![0; output.room() - room]);
            let blocked = output.len();
            kept.hand_on(&mut output);
            sent.extend_from_slice(&drain(&mut output)[blocked..]);
        }
        sent
    }

    #[test]
    fn a_body_is_the_same_however_it_came_and_is_taken_and_how_often_it_is_sent() {
        let body: Vec<u8> = (0..600_000_u32).map(|place| (place % 251) as u8).collect();
        let want = [b"head\r\nk\r\n\r\n", &body[..]].concat();
        for came in [1, 700, BUFFER_BYTES - 6, BUFFER_BYTES, 300_000] {
            let (mut blocks, memory) = (BlockPool::default(), RetryMemory::new(u64::MAX));
            let mut kept = Kept::new(b"head\r\n", &mut blocks, &memory);
            for bytes in body.chunks(came) {
                kept.put(bytes, &mut blocks);
            }
            assert_eq!(memory.used(), body.len() as u64);
            assert!(kept.held_bytes() < body.len() + 2 * BUFFER_BYTES);
            assert!(kept.body() == body, "{came}");
            for room in [1000, BUFFER_BYTES] {
                assert!(sent(&mut kept, room) == want, "{came} {room}");
            }
            kept.drop_body(&mut blocks);
            assert_eq!((kept.body().len(), memory.used()), (0, 0));
            kept.put(b"more", &mut blocks);
            assert_eq!(sent(&mut kept, 1000), b"head\r\nk\r\n\r\nmore");
            kept.clear(&mut blocks);
            assert_eq!((kept.held_bytes(), memory.used()), (0, 0));
        }
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let (mut blocks, memory) = (BlockPool::default(), RetryMemory::new(400_000));
        let mut large = Kept::new(b"", &mut blocks, &memory);
        assert!(memory.has_room(300_000, 300_000) && !memory.has_room(300_001, 300_001));
        large.put(&[0; 300_000], &mut blocks);
        assert!(
            !memory.has_room(1, SMALL_BYTES_MAX + 1),
            "it has grown large"
        );
        assert!(memory.has_room(SMALL_BYTES_MAX, SMALL_BYTES_MAX));
        assert!(
            !memory.has_room(100_001, SMALL_BYTES_MAX),
            "nothing is left"
        );
        assert!(memory.has_room(0, 1_000_000));
    }

    #[test]
    fn what_comes_in_turn_goes_on_without_a_further_copy() {
        let (mut blocks, memory) = (BlockPool::default(), RetryMemory::new(u64::MAX));
        let kept = &mut Kept::new(b"head", &mut blocks, &memory);
        let mut output = buffer(b"");
        let mut take = |kept: &mut Kept, output: Option<&mut Buffer>| {
            let mut input = buffer(&[b'x'; 50_000]);
            let memory = input.unread().as_ptr();
            let blocks = &mut blocks;
            let mut keeper = Keeper {
                kept,
                blocks,
                output,
            };
            keeper.take(&mut input, 40_000);
            assert_eq!(input.len(), 10_000);
            memory
        };
        let memory = take(kept, Some(&mut output));
        assert_eq!((output.unread().as_ptr(), output.len()), (memory, 40_000));
        take(kept, Some(&mut output));
        assert_eq!(output.len(), 80_000, "it is sent behind what was there");
        take(kept, Some(&mut output));
        assert!(
            !kept.is_sent() && output.len() == 80_000,
            "there is no room"
        );
        drain(&mut output);
        take(kept, Some(&mut output));
        assert_eq!(output.len(), 0, "others come first");
        kept.hand_on(&mut output);
        assert!(kept.is_sent() && output.len() == 80_000);
        take(kept, None);
        assert_eq!(kept.body().len(), 200_000);
    }
}

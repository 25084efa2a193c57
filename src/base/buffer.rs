//! Byte queues of bounded capacity whose memory comes from a pool and goes back when they are empty.
//! They know nothing of what the bytes mean.

/// The most bytes that may be buffered as the beginning of something unfinished: a message head.
pub const UNFINISHED_BYTES_MAX: usize = 64 * 1024;

/// Room that is left beside them: for a TLS record, and for what the proxy adds to a head.
pub const ROOM_BYTES_MIN: usize = 24 * 1024;

/// The capacity of a buffer.
pub const BUFFER_BYTES: usize = UNFINISHED_BYTES_MAX + ROOM_BYTES_MIN;

/// The capacity of a buffer into which a large body is read. In pieces of `BUFFER_BYTES`, between which other connections
/// have their turn, it takes up to half as much CPU again.
pub const WIDE_BYTES: usize = 256 * 1024 + ROOM_BYTES_MIN;

/// At most so many wide buffers are lent at once, which bounds what stalled peers can hold of them. As many are kept: back
/// at the allocator, they leave holes of their size between smaller blocks.
const WIDE_MAX: usize = 16;

/// The sizes of the blocks that are lent. A request that waits for its answer keeps the smallest that holds it.
const BLOCK_SIZES: [usize; 5] = [1024, 4096, 16 * 1024, BUFFER_BYTES, WIDE_BYTES];

/// Memory of one smaller block size that the pool keeps for reuse; any beyond that goes back to the allocator. It is the
/// smallest blocks of some 1,700 requests that wait for their answers.
const SPARE_BYTES_MAX: usize = 20 * BUFFER_BYTES;

/// Memory of one of these sizes, all of it initialised.
pub type Block = Box<[u8]>;

/// Lends blocks of memory, so that the steady state allocates nothing.
#[derive(Default)]
pub struct BlockPool {
    spare: [Vec<Block>; BLOCK_SIZES.len()],
    wide_lent: usize,
}

impl BlockPool {
    /// An initialised block of at least `bytes_min` bytes, which are no more than `WIDE_BYTES`. It holds leftovers of
    /// former use.
    #[inline]
    pub fn take(&mut self, bytes_min: usize) -> Block {
        let class = BLOCK_SIZES.iter().position(|size| *size >= bytes_min);
        let class = class.expect("no more than a buffer holds is asked for");
        self.wide_lent += usize::from(BLOCK_SIZES[class] == WIDE_BYTES);
        let spare = self.spare[class].pop();
        spare.unwrap_or_else(|| vec![0; BLOCK_SIZES[class]].into())
    }

    /// Makes `block` hold `bytes_min` bytes or more; its first `used` bytes are kept.
    pub fn enlarge(&mut self, block: &mut Block, used: usize, bytes_min: usize) {
        let mut larger = self.take(bytes_min);
        larger[..used].copy_from_slice(&block[..used]);
        self.give(std::mem::replace(block, larger));
    }

    /// Takes a block back.
    #[inline]
    pub fn give(&mut self, block: Block) {
        let is_wide = block.len() == WIDE_BYTES;
        self.wide_lent -= usize::from(is_wide);
        let class = BLOCK_SIZES.iter().rposition(|size| *size == block.len());
        if let Some(class) = class
            && (is_wide || (self.spare[class].len() + 1) * BLOCK_SIZES[class] <= SPARE_BYTES_MAX)
        {
            self.spare[class].push(block);
        }
    }
}

/// A queue of bytes: appended at one end, consumed at the other.
///
/// While its session is driven it is open: it has `BUFFER_BYTES` at least. Between turns it is settled: it holds only as
/// much memory as its unread bytes need, none when there are none.
#[derive(Default)]
pub struct Buffer {
    block: Block,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Gives the buffer `BUFFER_BYTES` of capacity, if it has less.
    #[inline]
    pub fn open(&mut self, pool: &mut BlockPool) {
        self.enlarge(BUFFER_BYTES, pool);
    }

    /// The same for a large body, with `WIDE_BYTES`. While too many others are wide, it is a buffer like others.
    pub fn open_wide(&mut self, pool: &mut BlockPool) {
        let bytes = match pool.wide_lent < WIDE_MAX {
            true => WIDE_BYTES,
            false => BUFFER_BYTES,
        };
        self.enlarge(bytes, pool);
    }

    #[inline]
    fn enlarge(&mut self, bytes: usize, pool: &mut BlockPool) {
        if self.block.is_empty() {
            self.block = pool.take(bytes);
        } else if self.block.len() < bytes {
            self.move_to(bytes, pool);
        }
    }

    /// Gives back the memory that the unread bytes do not need.
    #[inline]
    pub fn settle(&mut self, pool: &mut BlockPool) {
        if !self.block.is_empty() {
            self.shrink(pool);
        }
    }

    fn shrink(&mut self, pool: &mut BlockPool) {
        if self.is_empty() {
            pool.give(std::mem::take(&mut self.block));
        } else if self.len() <= BLOCK_SIZES[2] {
            self.move_to(self.len(), pool);
        }
    }

    /// Drops the unread bytes and gives all memory back.
    pub fn close(&mut self, pool: &mut BlockPool) {
        self.consume(self.len());
        self.settle(pool);
    }

    fn move_to(&mut self, bytes_min: usize, pool: &mut BlockPool) {
        let mut block = pool.take(bytes_min);
        let length = self.len();
        block[..length].copy_from_slice(self.unread());
        let former = std::mem::replace(&mut self.block, block);
        if !former.is_empty() {
            pool.give(former);
        }
        self.start = 0;
        self.end = length;
    }

    /// The buffered bytes.
    pub fn unread(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }

    /// The buffered bytes, to be changed in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether more is worth reading. Above this bound what is buffered cannot be an unfinished message, so it can be
    /// worked on, and reading after each small piece of it would cost more than the piece.
    pub fn wants_more(&self) -> bool {
        self.len() < UNFINISHED_BYTES_MAX
    }

    /// How many bytes can be appended.
    pub fn room(&self) -> usize {
        self.block.len() - self.len()
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len());
        self.start += count;
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Appends what fits and returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        if self.block.len() - self.end < count {
            self.compact();
        }
        self.block[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Appends all of `bytes`; the caller has checked [`Buffer::room`].
    pub fn put(&mut self, bytes: &[u8]) {
        let count = self.append(bytes);
        assert_eq!(count, bytes.len(), "whoever puts has looked at the room");
    }

    /// Moves the first `count` bytes of `input` here; the caller has checked [`Buffer::room`]. Large amounts are moved
    /// without a copy.
    pub fn take(&mut self, input: &mut Buffer, count: usize) {
        let rest = input.len() - count;
        if self.is_empty() && rest < count && self.block.len() >= rest.max(BUFFER_BYTES) {
            std::mem::swap(self, input);
            if rest > 0 {
                self.end -= rest;
                input.put(&self.block[self.end..self.end + rest]);
            }
        } else {
            self.put(&input.unread()[..count]);
            input.consume(count);
        }
    }

    /// The room as a slice to read into; [`Buffer::filled`] then tells how much of it was used.
    pub fn space(&mut self) -> &mut [u8] {
        self.compact();
        &mut self.block[self.end..]
    }

    /// Moves the unread bytes to the front.
    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.block.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Records that the first `count` bytes of [`Buffer::space`] were written.
    pub fn filled(&mut self, count: usize) {
        assert!(self.start == 0 && self.end + count <= self.block.len());
        self.end += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_through_open_and_settle() {
        let mut pool = BlockPool::default();
        let mut buffer = Buffer::default();
        let mut want = std::collections::VecDeque::new();
        for round in 0..400usize {
            buffer.open(&mut pool);
            assert_eq!(buffer.room() + buffer.len(), BUFFER_BYTES);
            let piece: Vec<u8> = (0..round * 7 % 900)
                .map(|byte| (byte + round) as u8)
                .collect();
            let count = buffer.append(&piece);
            want.extend(&piece[..count]);
            let out = (round * 13 % 800).min(buffer.len());
            let gone: Vec<u8> = want.drain(..out).collect();
            assert_eq!(&buffer.unread()[..out], gone);
            buffer.consume(out);
            buffer.settle(&mut pool);
            assert!(buffer.unread().iter().eq(want.iter()));
        }
    }

    #[test]
    fn an_empty_buffer_holds_no_memory_and_a_small_rest_holds_little() {
        let mut pool = BlockPool::default();
        for (left, block_max) in [(0, 0), (1, 1024), (1025, 4096), (16 * 1024, 16 * 1024)] {
            let mut buffer = Buffer::default();
            buffer.open(&mut pool);
            assert_eq!(buffer.append(&vec![7; left]), left);
            buffer.settle(&mut pool);
            assert!(buffer.block.len() <= block_max, "{left}");
            assert_eq!(buffer.len(), left);
        }
    }

    #[test]
    fn few_buffers_are_wide_at_once() {
        let mut pool = BlockPool::default();
        let mut open = |buffer: &mut Buffer| {
            buffer.open_wide(&mut pool);
            buffer.room()
        };
        let mut buffers: Vec<Buffer> = (0..=WIDE_MAX).map(|_| Buffer::default()).collect();
        let rooms: Vec<usize> = buffers.iter_mut().map(&mut open).collect();
        assert_eq!(rooms[..WIDE_MAX], [WIDE_BYTES; WIDE_MAX]);
        assert_eq!(rooms[WIDE_MAX], BUFFER_BYTES);
        let last = &mut buffers[WIDE_MAX];
        assert_eq!(last.append(b"kept"), 4);
        assert_eq!(open(last), BUFFER_BYTES - 4, "it stays as it is");
        buffers[0].close(&mut pool);
        let last = &mut buffers[WIDE_MAX];
        last.open_wide(&mut pool);
        assert_eq!((last.room(), last.unread()), (WIDE_BYTES - 4, &b"kept"[..]));
    }

    #[test]
    fn as_many_blocks_are_kept_as_the_bound_of_their_size_allows() {
        let mut pool = BlockPool::default();
        for (bytes, lent, kept) in [
            (WIDE_BYTES, WIDE_MAX, WIDE_MAX),
            (BUFFER_BYTES, 30, 20),
            (1024, 2000, 1760),
        ] {
            let blocks: Vec<Block> = (0..lent).map(|_| pool.take(bytes)).collect();
            blocks.into_iter().for_each(|block| pool.give(block));
            let of_size = |block: &&Block| block.len() == bytes;
            assert_eq!(pool.spare.iter().flatten().filter(of_size).count(), kept);
        }
    }

    #[test]
    fn what_is_taken_from_another_buffer_is_the_same_with_and_without_a_copy() {
        // (bytes in the output, bytes in the input, how many are taken, whether the memory is handed over)
        let rows = [
            (0, 80_000, 80_000, true),
            (0, 80_000, 40_001, true),
            (0, 80_000, 40_000, false),
            (1, 80_000, 80_000, false),
            (0, 1, 1, true),
            (0, 1, 0, false),
            (0, 150_000, 80_000, true),
            (0, 200_000, 80_000, false), // what stays is too much for the other block
            (0, 200_000, 0, false),
        ];
        for (waiting, count, taken, goes_over) in rows {
            let mut pool = BlockPool::default();
            let (mut input, mut output) = (Buffer::default(), Buffer::default());
            match count > BUFFER_BYTES {
                true => input.open_wide(&mut pool),
                false => input.open(&mut pool),
            }
            output.open(&mut pool);
            let bytes: Vec<u8> = (0..count + 3).map(|place| place as u8).collect();
            input.put(&bytes);
            input.consume(3); // a head, say
            output.put(&vec![7; waiting]);
            let memory = input.block.as_ptr();
            output.take(&mut input, taken);
            assert_eq!(output.unread()[..waiting], vec![7; waiting]);
            assert_eq!(output.unread()[waiting..], bytes[3..3 + taken]);
            assert_eq!(input.unread(), &bytes[3 + taken..]);
            assert_eq!(
                output.block.as_ptr() == memory,
                goes_over,
                "{count} {taken}"
            );
            assert!(input.room() + input.len() >= BUFFER_BYTES, "it is open");
        }
    }

    #[test]
    fn an_enlarged_block_keeps_what_was_used() {
        let mut pool = BlockPool::default();
        let mut block = pool.take(10);
        let mut want = Vec::new();
        for count in [1000, 1025, 4096, 60_000, BUFFER_BYTES] {
            pool.enlarge(&mut block, want.len(), count);
            assert!(block.len() >= count && block.starts_with(&want));
            want.resize(count, count as u8);
            block[..count].copy_from_slice(&want);
        }
    }

    #[test]
    fn more_than_the_capacity_is_not_taken() {
        let mut pool = BlockPool::default();
        let mut buffer = Buffer::default();
        buffer.open(&mut pool);
        assert_eq!(buffer.append(&vec![1; BUFFER_BYTES + 5]), BUFFER_BYTES);
        assert_eq!(buffer.append(b"x"), 0);
        buffer.consume(3);
        assert_eq!(buffer.append(b"wxyz"), 3);
    }
}

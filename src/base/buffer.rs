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

/// The place of wide buffers among them.
const WIDE: usize = BLOCK_SIZES.len() - 1;

/// Memory of one smaller block size that the pool keeps for reuse; any beyond that goes back to the allocator. It is the
/// smallest blocks of some 1,700 requests that wait for their answers.
const SPARE_BYTES_MAX: usize = 20 * BUFFER_BYTES;

/// How many blocks of each size that is.
const SPARE_MAX: [usize; BLOCK_SIZES.len()] = [
    SPARE_BYTES_MAX / BLOCK_SIZES[0],
    SPARE_BYTES_MAX / BLOCK_SIZES[1],
    SPARE_BYTES_MAX / BLOCK_SIZES[2],
    SPARE_BYTES_MAX / BLOCK_SIZES[3],
    WIDE_MAX,
];

/// Lends blocks of memory, so that the steady state allocates nothing.
#[derive(Default)]
pub struct BlockPool {
    spare: [Vec<Lent>; BLOCK_SIZES.len()],
    wide_lent: usize,
}

/// Memory of one of these sizes and which part of it is in use. Kept together, they take eight bytes of whoever holds
/// nothing.
struct Block {
    start: usize,
    end: usize,
    /// The place of its size in `BLOCK_SIZES`.
    class: usize,
    /// Initialised; what is not in use holds leftovers.
    bytes: Box<[u8]>,
}

/// A block is handed on as one pointer.
type Lent = Box<Block>;

impl BlockPool {
    /// An empty block of at least `bytes_min` bytes, which are no more than `WIDE_BYTES`.
    #[inline]
    fn take(&mut self, bytes_min: usize) -> Lent {
        let class = BLOCK_SIZES.iter().position(|size| *size >= bytes_min);
        let class = class.expect("no more than a buffer holds is asked for");
        self.wide_lent += usize::from(class == WIDE);
        self.spare[class].pop().unwrap_or_else(|| Block::of(class))
    }

    /// Takes a block back.
    #[inline]
    fn give(&mut self, mut block: Lent) {
        (block.start, block.end) = (0, 0);
        let class = block.class;
        self.wide_lent -= usize::from(class == WIDE);
        if self.spare[class].len() < SPARE_MAX[class] {
            self.spare[class].push(block);
        }
    }
}

impl Block {
    #[cold]
    fn of(class: usize) -> Lent {
        Box::new(Block {
            start: 0,
            end: 0,
            class,
            bytes: vec![0; BLOCK_SIZES[class]].into(),
        })
    }

    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.len());
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Moves the unread bytes to the front.
    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Appends what fits and returns how much that was.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.bytes.len() - self.len());
        if self.bytes.len() - self.end < count {
            self.compact();
        }
        self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }
}

/// A queue of bytes: appended at one end, consumed at the other.
///
/// While its session is driven it is open: it has `BUFFER_BYTES` at least. Between turns it is settled: it holds only as
/// much memory as its unread bytes need, none when there are none.
#[derive(Default)]
pub struct Buffer(Option<Lent>);

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

    /// Gives the buffer a capacity of `bytes`, at most `WIDE_BYTES`, if it has less.
    #[inline]
    pub fn enlarge(&mut self, bytes: usize, pool: &mut BlockPool) {
        match &self.0 {
            None => self.0 = Some(pool.take(bytes)),
            Some(block) if block.bytes.len() < bytes => self.move_to(bytes, pool),
            Some(_) => {}
        }
    }

    /// Gives back the memory that the unread bytes do not need.
    #[inline]
    pub fn settle(&mut self, pool: &mut BlockPool) {
        if self.0.is_some() {
            self.shrink(pool);
        }
    }

    fn shrink(&mut self, pool: &mut BlockPool) {
        if self.len() > BLOCK_SIZES[2] {
            return;
        }
        match self.is_empty() {
            true => self.0.take().into_iter().for_each(|block| pool.give(block)),
            false => self.move_to(self.len(), pool),
        }
    }

    /// Drops the unread bytes and gives all memory back.
    pub fn close(&mut self, pool: &mut BlockPool) {
        if let Some(block) = self.0.take() {
            pool.give(block);
        }
    }

    fn move_to(&mut self, bytes_min: usize, pool: &mut BlockPool) {
        let mut block = pool.take(bytes_min);
        block.append(self.unread());
        if let Some(former) = self.0.replace(block) {
            pool.give(former);
        }
    }

    /// The buffered bytes.
    pub fn unread(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| block.unread())
    }

    /// The buffered bytes, to be changed in place.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            None => &mut [],
            Some(block) => &mut block.bytes[block.start..block.end],
        }
    }

    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more is worth reading. Above this bound what is buffered cannot be an unfinished message, so it can be
    /// worked on, and reading after each small piece of it would cost more than the piece.
    pub fn wants_more(&self) -> bool {
        self.len() < UNFINISHED_BYTES_MAX
    }

    /// How many bytes it has memory for.
    pub fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.bytes.len())
    }

    /// How many bytes can be appended.
    pub fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&mut self, count: usize) {
        match &mut self.0 {
            Some(block) => block.consume(count),
            None => assert_eq!(count, 0),
        }
    }

    /// Drops all unread bytes but the first `length`.
    pub fn truncate(&mut self, length: usize) {
        if let Some(block) = &mut self.0 {
            block.end = block.end.min(block.start + length);
        }
    }

    /// Appends what fits and returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        self.0.as_mut().map_or(0, |block| block.append(bytes))
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
        if !self.is_empty() || rest >= count || self.capacity() < rest.max(BUFFER_BYTES) {
            self.put(&input.unread()[..count]);
            return input.consume(count);
        }
        std::mem::swap(self, input);
        if rest > 0
            && let Some(block) = &mut self.0
        {
            block.end -= rest;
            input.put(&block.bytes[block.end..block.end + rest]);
        }
    }

    /// The room as a slice to read into; [`Buffer::filled`] then tells how much of it was used.
    pub fn space(&mut self) -> &mut [u8] {
        match &mut self.0 {
            None => &mut [],
            Some(block) => {
                block.compact();
                &mut block.bytes[block.end..]
            }
        }
    }

    /// Records that the first `count` bytes of [`Buffer::space`] were written.
    pub fn filled(&mut self, count: usize) {
        match &mut self.0 {
            None => assert_eq!(count, 0),
            Some(block) => {
                assert!(block.start == 0 && block.end + count <= block.bytes.len());
                block.end += count;
            }
        }
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
            assert!(buffer.capacity() <= block_max, "{left}");
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
            let blocks: Vec<Lent> = (0..lent).map(|_| pool.take(bytes)).collect();
            blocks.into_iter().for_each(|block| pool.give(block));
            let of_size = |block: &&Lent| block.bytes.len() == bytes;
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
            let memory = |buffer: &Buffer| buffer.0.as_ref().map(|block| block.bytes.as_ptr());
            let before = memory(&input);
            output.take(&mut input, taken);
            assert_eq!(output.unread()[..waiting], vec![7; waiting]);
            assert_eq!(output.unread()[waiting..], bytes[3..3 + taken]);
            assert_eq!(input.unread(), &bytes[3 + taken..]);
            assert_eq!(memory(&output) == before, goes_over, "{count} {taken}");
            assert!(input.room() + input.len() >= BUFFER_BYTES, "it is open");
        }
    }

    #[test]
    fn an_enlarged_buffer_keeps_what_it_holds() {
        let mut pool = BlockPool::default();
        let (mut buffer, mut want) = (Buffer::default(), Vec::new());
        for count in [1000, 1025, 4096, 60_000, BUFFER_BYTES] {
            buffer.enlarge(count, &mut pool);
            assert!(buffer.capacity() >= count);
            assert_eq!(buffer.unread(), want);
            let more = vec![count as u8; count - want.len()];
            buffer.put(&more);
            want.extend(more);
        }
        buffer.truncate(1001);
        assert_eq!(buffer.unread(), &want[..1001]);
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
